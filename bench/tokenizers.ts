/**
 * Encoding speed in one interleaved run: Ropewalk against the Rust library's npm package.
 *
 *     npm run bench:tokenizers -- [--text FOLDER] [--gemma tokenizer.json] [--only Unigram] [--rounds 5] [--work DIR]
 *
 * Texts: 1 MB of English and 0.4 MB of Korean (tinyshakespeare.txt and korean-fairy-tales.txt in --text; otherwise
 * Moby-Dick and the Korean README repeated), 1 MB of this project's sources, and 10,000 lines of the first two, one by
 * one. The Rust library trains the tokenizers on the first two texts, and they are kept in --work; --gemma adds
 * Gemma's own. Both libraries use one thread. Ids are compared before anything is timed.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { mobyDick } from '../src/text/moby-dick.node.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { type Kind, trainedTokenizer } from './tokenizers/train.ts';

process.env.TOKENIZERS_PARALLELISM = 'false';
const { Tokenizer: RustTokenizer } = await import('tokenizers');

const { values: flags } = parseArgs({
  options: {
    text: { type: 'string', default: '../shared/data/text' },
    gemma: { type: 'string' },
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    work: { type: 'string', default: join(tmpdir(), 'ropewalk-bench-tokenizers') },
  },
});

type Json = Record<string, unknown>;
/** Encodes texts one by one and returns the number of ids. */
type Encode = (texts: readonly string[]) => Promise<number>;

const root = fileURLToPath(new URL('..', import.meta.url));

async function readText(name: string, fallback: () => string | Promise<string>): Promise<string> {
  const path = join(flags.text, name);
  return existsSync(path) ? readFileSync(path, 'utf8') : await fallback();
}

function sources(): string {
  const names = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
  const files = names.filter((name) => name.endsWith('.ts') && !name.includes('generated')).sort();
  return files.map((name) => readFileSync(join(root, 'src', name), 'utf8')).join('\n');
}

const english = (await readText('tinyshakespeare.txt', mobyDick)).slice(0, 1_000_000);
const korean = await readText('korean-fairy-tales.txt', () =>
  readFileSync(join(root, 'README.ko.md'), 'utf8').repeat(40),
);
const lines = `${english}\n${korean}`.split('\n').filter((line) => line.trim() !== '');
const texts: Readonly<Record<string, readonly string[]>> = {
  English: [english],
  Korean: [korean],
  code: [sources().slice(0, 1_000_000)],
  '10,000 short': Array.from({ length: 10_000 }, (_, i) => lines[(i * 7) % lines.length]!),
};

async function contenders(json: Json): Promise<Map<string, Encode>> {
  const ours = Tokenizer.fromJSON(json);
  const rust = RustTokenizer.fromString(JSON.stringify(json));
  const result = new Map<string, Encode>([
    ['Ropewalk', async (all) => all.reduce((sum, text) => sum + ours.encode(text).length, 0)],
    [
      'Rust',
      async (all) => (await rust.encodeBatch([...all])).reduce((sum, one) => sum + one.getIds().length, 0),
    ],
  ]);
  for (const [name, all] of Object.entries(texts)) {
    for (const text of all) {
      const theirs = (await rust.encode(text)).getIds();
      if (ours.encode(text).join() !== theirs.join())
        throw new Error(`other ids than the Rust library's in ${name}`);
    }
  }
  return result;
}

async function measure(all: readonly string[], entrants: ReadonlyMap<string, Encode>): Promise<string[]> {
  const times = new Map([...entrants.keys()].map((name) => [name, [] as number[]]));
  for (let round = 0; round < Number(flags.rounds); round++) {
    const order = [...entrants];
    for (const [name, encode] of round % 2 === 0 ? order : order.reverse()) {
      const began = performance.now();
      await encode(all);
      times.get(name)!.push(performance.now() - began);
    }
  }
  for (const all of times.values()) all.sort((a, b) => a - b);
  const best = (name: string) => times.get(name)![0]!;
  const median = (name: string) => times.get(name)![times.get(name)!.length >> 1]!;
  return [...entrants.keys()].map((name) => {
    const figures = `${best(name).toFixed(1)} (${median(name).toFixed(1)}) ms`;
    const ratio = `${(best('Ropewalk') / best(name)).toFixed(2)} (${(median('Ropewalk') / median(name)).toFixed(2)})`;
    return `${name.padEnd(10)} ${figures.padStart(24)}  ours / its ${ratio}`;
  });
}

const kinds: [string, () => Json][] = (['byte-level BPE', 'SentencePiece-style BPE', 'Unigram'] as const).map(
  (kind: Kind) => [kind, () => trainedTokenizer(kind, flags.work, [english, korean])],
);
if (flags.gemma) kinds.push(['Gemma', () => JSON.parse(readFileSync(flags.gemma!, 'utf8')) as Json]);
mkdirSync(flags.work, { recursive: true });
console.log(`best (median) of ${flags.rounds} rounds after one; load ${loadavg()[0]!.toFixed(1)}`);
for (const [kind, open] of kinds) {
  if (flags.only !== undefined && flags.only !== kind) continue;
  const json = open();
  writeFileSync(join(flags.work, `${kind}.json`), JSON.stringify(json));
  const began = performance.now();
  Tokenizer.fromJSON(json);
  const opened = performance.now() - began;
  const rustBegan = performance.now();
  RustTokenizer.fromString(JSON.stringify(json));
  console.log(
    `\n${kind}: opened in ${opened.toFixed(0)} ms, Rust ${(performance.now() - rustBegan).toFixed(0)} ms`,
  );
  const entrants = await contenders(json);
  for (const [name, all] of Object.entries(texts)) {
    console.log(name);
    for (const line of await measure(all, entrants)) console.log(`  ${line}`);
  }
}
console.log(`\nload at the end ${loadavg()[0]!.toFixed(1)}`);
