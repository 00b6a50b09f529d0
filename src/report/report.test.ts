import { describe, expect, it } from 'vitest';
import { buildReport } from './report.ts';
import type { FamilyMeasurements, FamilyResult, Histogram, JobResults } from './results.ts';

const EVIL = '</blockquote><script>alert(1)</script>&amp;"\u0007 \ud83d <img src=x onerror=alert(2)>';

const histogram: Histogram = {
  from: -60,
  to: 60,
  counts: [0, 3, 9, 3],
  below: 0,
  above: 1,
  total: 16,
  min: -4,
  max: 70,
};

function familyResult(family: string, title: string, validationLoss: number): FamilyResult {
  return {
    family,
    title,
    parameters: 493_000,
    validationLoss,
    trainTokensPerSecond: 20_000,
    decodeTokensPerSecond: 2_000,
    cacheBytesPerToken: 1536,
    cacheContext: 256,
    curve: [
      { step: 1, loss: 6.2 },
      { step: 2, loss: validationLoss },
    ],
    evaluations: [{ step: 2, loss: validationLoss }],
    sample: EVIL,
  };
}

function measurements(family: string): FamilyMeasurements {
  const effect = {
    cap: 50,
    before: histogram,
    after: histogram,
    largestBefore: 30,
    largestAfter: 26.9,
    largestChange: 3.1,
  };
  return {
    family,
    gradients: { trained: [2, 1], deep: [0.5, 0.25, 0.1], withoutNorms: [1e12, 1e-9] },
    activation: {
      activation: family === 'gpt' ? 'relu' : 'gelu',
      inputs: histogram,
      negative: 0.6,
      bent: 0.55,
    },
    caps:
      family === 'gemma2'
        ? { attention: effect, final: { ...effect, cap: 30 } }
        : { attention: null, final: null },
    positions: {
      keyPositions: [0, 5],
      scores: [
        [1, 2],
        [1, 2],
      ],
      largestSpread: 1e-7,
      range: 1,
    },
  };
}

const names: readonly (readonly [string, string])[] = [
  ['gpt', 'GPT'],
  ['gemma2', 'Gemma 2'],
];
const costs = names.map(([, title]) => ({
  title,
  points: [
    { context: 8, cacheBytes: 1000, flops: 2000 },
    { context: 16, cacheBytes: 2000, flops: 4000 },
  ],
}));

function results(losses: readonly [number, number] = [3.4, 3.1]): JobResults {
  return {
    settings: {
      batch: 4,
      seq: 64,
      training: { steps: 2, lr: 0.001, warmup: 1, weightDecay: 0.1, clip: 1, seed: 0 },
      sample: { prompt: 'The <whale>', tokens: 10, temperature: 0.7, topP: 0.9, seed: 1 },
    },
    surroundings: {
      date: '2026-01-01T00:00:00.000Z',
      machine: 'a <machine>',
      threads: 2,
      versions: { ropewalk: '0.1.0' },
    },
    corpus: {
      title: 'A & B',
      characters: 1000,
      vocabSize: 512,
      identity: '',
      tokens: 500,
      trainingTokens: 400,
      validationTokens: 100,
      unigramLoss: 5.2,
      bigramLoss: 3.7,
    },
    families: names.map(([family, title], i) => familyResult(family, title, losses[i]!)),
    measurements: {
      deepLayers: 2,
      positionTokens: { query: '<q>', key: 'k' },
      families: names.map(([family]) => measurements(family)),
    },
    costs: { trained: costs, published: costs },
  };
}

/** Elements that are open at some point; throws where one is closed that is not the last opened. */
function checkNesting(page: string): void {
  const empty = new Set(['meta', 'input', 'br', 'path', 'line', 'rect', 'circle']);
  const open: string[] = [];
  const markup = page.replace(/<(style|script)>[\s\S]*?<\/\1>/g, '').replace(/<!doctype html>/, '');
  for (const [, closing, name, selfClosing] of markup.matchAll(/<(\/?)([a-z][a-z0-9]*)\b[^>]*?(\/?)>/gi)) {
    if (closing) expect(open.pop()).toBe(name);
    else if (!selfClosing && !empty.has(name!)) open.push(name!);
  }
  expect(open).toEqual([]);
}

describe('the report', () => {
  const page = buildReport(results());

  it('is one page that loads nothing else', () => {
    expect(page.startsWith('<!doctype html>')).toBe(true);
    // Matches rather than the page, so that a failure names what it found and not 150 kB.
    expect(page.match(/https?:[^<"]*|url\(|@import|<(link|img|iframe|object|base)\b/gi)).toBeNull();
    const addresses = [...page.matchAll(/<[^>]+\s(?:src|href|action|data)="([^"]*)"/gi)].map(
      ([, value]) => value!,
    );
    expect(addresses.filter((address) => !address.startsWith('#'))).toEqual([]);
  });

  it('nests its elements and uses each id once', () => {
    checkNesting(page);
    const ids = [...page.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id!);
    expect(new Set(ids).size).toBe(ids.length);
    const referred = [...page.matchAll(/aria-labelledby="([^"]+)"/g)].flatMap(([, list]) => list!.split(' '));
    const targets = [...page.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id!);
    for (const id of [...referred, ...targets]) expect(ids).toContain(id);
  });

  it('escapes text from models and users', () => {
    expect(page.match(/<script>alert|<img/)).toBeNull();
    const escaped = [
      '&lt;/blockquote&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;&quot;\ufffd \ufffd',
      '<strong>The &lt;whale&gt;</strong>',
      'a &lt;machine&gt;',
      'A &amp; B',
    ];
    for (const text of escaped) expect(page.includes(text), text).toBe(true);
  });

  it('contains everything in both languages', () => {
    expect(page.match(/class="en"/g)!.length).toBe(page.match(/class="ko"/g)!.length);
    expect(page.match(/<html lang="..">/)?.[0]).toBe('<html lang="en">');
    const korean = buildReport(results(), 'ko');
    expect(korean.match(/<html lang="..">/)?.[0]).toBe('<html lang="ko">');
    expect(korean.match(/value=".." checked/g)).toEqual(['value="ko" checked']);
  });

  it('gives every picture a name', () => {
    const pictures = [...page.matchAll(/<svg[^>]*>/g)].map(([tag]) => tag);
    for (const tag of pictures) expect(tag).toMatch(/aria-labelledby=|aria-hidden="true"|role="img"/);
  });

  it('does not claim a win that was not measured', () => {
    expect(page.includes('Every model predicts the held-out text better than a bigram')).toBe(true);
    const lost = buildReport(results([3.9, 3.1]));
    expect(lost.includes('not every model beats the bigram: GPT is 0.20 nats')).toBe(true);
    expect(lost.includes('Every model predicts')).toBe(false);
  });

  it('draws only finite numbers', () => {
    expect(page.match(/NaN|Infinity|undefined/)).toBeNull();
  });
});
