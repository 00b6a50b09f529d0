import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/**
 * Words that this project does not use, each with what to write instead: British spellings, and phrases that read as
 * translated. A reader of the field should not stumble over a message, a help text or a page.
 */
const INSTEAD: readonly (readonly [RegExp, string])[] = [
  [
    /\b(?:\w*(?:quanti|normali|tokeni|optimi|initiali|recogni|summari|minimi|maximi|capitali|vectori|seriali|organi|reali|generali|speciali|visuali|synchroni|characteri|categori|finali|locali|utili|paralleli|randomi|regulari|emphasi|prioriti|standardi|customi|apologi|memori))s(?:e|ed|es|er|ers|ing|ation|ations)\b/i,
    '-ize, -ization (quantize, optimizer, normalization)',
  ],
  [/\b(?:behaviour|colour|favour|neighbour|honour|labour)\w*/i, '-or (behavior, color)'],
  [/\b(?:centre|licence|grey|catalogue|artefact)s?\b/i, 'center, license, gray, catalog, artifact'],
  [/\b(?:cancell|labell|modell|travell|signall)(?:ed|ing)\b/i, 'one l: canceled, labeled, modeled'],
  [/\b(?:learnt|whilst|amongst)\b/i, 'learned, while, among'],
  [/\bper cent\b/i, 'percent, or %'],
  [/\bfor ever\b/i, 'forever'],
  [/\bfew[- ]bits?\b/i, 'quantized'],
  [/\b(?:go|goes|gone|went) on\b/i, 'resume, continue'],
  [/\bnumbers? that ends?\b/i, 'non-finite values'],
  [/\bheld (?:to|against)\b/i, 'verified against, checked against'],
  [/\bat hand\b/i, 'current, available; an online teacher'],
  [/\bas it comes\b/i, 'with its defaults'],
  [/\bof (?:one's|his) own\b/i, 'custom, your own …'],
  [/\bheeded\b/i, 'respected'],
  [/\bto be had\b/i, 'available'],
  [/\bas a rule\b/i, 'usually'],
  [/\bwritten down\b/i, 'recorded, stored'],
  [/\bwhole or not at all\b/i, 'atomically'],
  [/\bwhat messages call\b/i, 'the name in messages'],
];

const NOT_OURS = /\.generated\.|worker\.node\.js|\.ko\.|wording\.test/;
const LATER = /^test\//;

const root = fileURLToPath(new URL('..', import.meta.url));

/** Files whose words are ours: no fixtures, and no records of what programs printed. */
const files = ['docs', 'src', 'bin', 'bench', 'verify', 'examples', 'scripts', 'test', '.']
  .flatMap((folder) =>
    readdirSync(`${root}/${folder}`, { recursive: folder !== '.', encoding: 'utf8' }).map((name) =>
      folder === '.' ? name : `${folder}/${name.replaceAll('\\', '/')}`,
    ),
  )
  .filter((path) => /\.(?:md|ts|js|mjs|py)$/.test(path) && !NOT_OURS.test(path) && !LATER.test(path));

describe('the words of this project', () => {
  it.each(INSTEAD)('avoid %s, and say: %s', (words) => {
    const found = files.flatMap((path) =>
      readFileSync(`${root}/${path}`, 'utf8')
        .split('\n')
        .flatMap((line, i) => (words.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
    );
    expect(found).toEqual([]);
  });
});
