/**
 * How long tokenizers with large vocabularies take to open, each time in a cold process, in one interleaved run: the
 * first start (nothing kept), later ones (the tables are kept), and one that keeps nothing.
 *
 *     npm run bench:vocabularies -- [--rounds 5] FILE...
 *
 * FILE is a tokenizer.json, a tokenizer.model, a GGUF file or a model folder. Printed: processor time of opening, best
 * (median), without loading the package; then that of the first text; then the time on the clock.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Samples } from './inference/samples.ts';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    package: { type: 'string', default: 'dist/bundle/node.js' },
  },
});

const PROGRAM = `
const [url, path] = process.argv.slice(1);
const { openTokenizer } = await import(url);
const begin = process.cpuUsage();
const clock = performance.now();
const tokenizer = await openTokenizer(path);
const opened = process.cpuUsage(begin);
const wall = performance.now() - clock;
const next = process.cpuUsage();
tokenizer.encode('Hello world, a rope. 안녕하세요');
const encoded = process.cpuUsage(next);
const ms = ({ user, system }) => (user + system) / 1000;
console.log(JSON.stringify([ms(opened), ms(encoded), wall]));`;

const kept = mkdtempSync(join(tmpdir(), 'ropewalk-bench-vocabularies-'));
const kinds = [
  { name: 'first', folder: kept, isFirst: true },
  { name: 'later', folder: kept, isFirst: false },
  { name: 'nothing kept', folder: 'off', isFirst: false },
];

function open(path: string, folder: string): number[] {
  const url = pathToFileURL(resolve(flags.package)).href;
  const args = ['--input-type=module', '--eval', PROGRAM, url, resolve(path)];
  const env = { ...process.env, ROPEWALK_LAYOUT_CACHE: folder };
  return JSON.parse(execFileSync(process.execPath, args, { env, encoding: 'utf8' })) as number[];
}

console.log(`${cpus()[0]!.model}, Node ${process.versions.node}, load ${loadavg()[0]!.toFixed(2)}`);
console.log('ms: opening, processor; first text, processor; opening, clock');
for (const path of positionals) {
  const samples = kinds.map(() => [new Samples(), new Samples(), new Samples()]);
  for (let round = 0; round < Number(flags.rounds); round++) {
    for (const [k, { folder, isFirst }] of kinds.entries()) {
      if (isFirst) rmSync(kept, { recursive: true, force: true });
      for (const [i, value] of open(path, folder).entries()) samples[k]![i]!.add(value);
    }
  }
  console.log(`\n${basename(resolve(path, '..'))}/${basename(path)}`);
  for (const [k, { name }] of kinds.entries()) {
    const cells = samples[k]!.map(({ best, median }) =>
      `${best.toFixed(0)} (${median.toFixed(0)})`.padStart(12),
    );
    console.log(name.padEnd(14) + cells.join(''));
  }
}
rmSync(kept, { recursive: true, force: true });
console.log(`\nload ${loadavg()[0]!.toFixed(2)}`);
