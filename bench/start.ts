/**
 * How long a model takes from a cold process to the first token of a text of 128, in one interleaved run: Ropewalk's
 * first start (nothing kept), later ones (its layout is kept), those with the engine's packed form (`ropewalk cache pack`), one
 * that keeps nothing, and node-llama-cpp.
 *
 *     npm run bench:start -- [--llama FOLDER] [--only smol|1b] [--rounds 5] [--work FOLDER]
 *
 * FOLDER is where `npm install` put node-llama-cpp; see rivals/. Files are read before each start, so that they are in
 * the system's cache; the layouts too, since whoever starts twice has them there.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Contender, type Entrant } from './inference/contender.ts';
import { script } from './inference/entrants.ts';
import { ModelFiles } from './inference/model-files.ts';
import { Samples } from './inference/samples.ts';
import { oneB, smol } from './inference/shapes.ts';

const { values: flags } = parseArgs({
  options: {
    llama: { type: 'string' },
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    work: { type: 'string', default: join(tmpdir(), 'ropewalk-bench') },
    package: { type: 'string', default: 'dist/bundle/node.js' },
  },
});
const PROMPT = 128;
const rounds = Number(flags.rounds);
const threads = Number(flags.threads);
const layouts = join(resolve(flags.work), 'layouts');
const packed = join(resolve(flags.work), 'packed');
const shapes = [
  { name: 'smol', title: 'SmolLM2-135M shape', config: smol },
  { name: '1b', title: 'Llama-3.2-1B shape, vocabulary of 128,256', config: oneB },
];

interface Measured {
  readonly entrant: Entrant;
  /** Removes what earlier starts kept. */
  readonly isFirst: boolean;
  readonly seconds: Samples;
  readonly processor: Samples;
  bytes: number;
}

function entrantsOf(model: string): Measured[] {
  const ours = (name: string, isFirst: boolean, kept: string) => ({
    entrant: {
      ...{ name, script: script('ropewalk'), bytesPerWeight: 0, cacheNumberBytes: 4 },
      settings: { package: resolve(flags.package), model, options: { threads, activations: 'int8' } },
      env: { ROPEWALK_LAYOUT_CACHE: kept },
    },
    isFirst,
  });
  const { llama } = flags;
  const hasRival = llama !== undefined && existsSync(join(llama, 'node_modules', 'node-llama-cpp'));
  const settings = { folder: llama && resolve(llama), model, threads, contextSize: 2304 };
  const rival = {
    entrant: {
      ...{ name: 'node-llama-cpp', script: script('node-llama-cpp'), settings },
      ...{ bytesPerWeight: 0, cacheNumberBytes: 2 },
    },
    isFirst: false,
  };
  return [
    ours('Ropewalk, first start', true, layouts),
    ours('Ropewalk, later start', false, layouts),
    ours('Ropewalk, packed', false, packed),
    ours('Ropewalk, nothing kept', false, 'off'),
    ...(hasRival ? [rival] : []),
  ].map((each) => ({ ...each, seconds: new Samples(), processor: new Samples(), bytes: 0 }));
}

console.log(
  `${cpus()[0]!.model}, ${threads} threads, Node ${process.versions.node}, load ${loadavg()[0]!.toFixed(2)}`,
);
for (const { name, title, config } of shapes) {
  if (flags.only !== undefined && flags.only !== name) continue;
  const files = new ModelFiles(name, config, resolve(flags.work));
  for (const type of ['Q8_0', 'Q4_0'] as const) {
    const model = await files.gguf(type);
    const all = entrantsOf(model);
    execFileSync(
      process.execPath,
      ['bin/ropewalk.js', 'cache', 'pack', model, '--activations', 'int8', '--threads', flags.threads],
      { env: { ...process.env, ROPEWALK_LAYOUT_CACHE: packed }, stdio: ['ignore', 'ignore', 'inherit'] },
    );
    for (let round = 0; round < rounds; round++) {
      for (const each of all) {
        if (each.isFirst) rmSync(layouts, { recursive: true, force: true });
        const { seconds, processor, bytes } = await Contender.coldStart(each.entrant, PROMPT);
        each.seconds.add(seconds);
        each.processor.add(processor);
        each.bytes = Math.max(each.bytes, bytes);
      }
    }
    const rival = all.find(({ entrant }) => entrant.name === 'node-llama-cpp');
    console.log(`\n${title}, ${type}: first token, s: best (median); processor s; peak GB`);
    for (const { entrant, seconds, processor, bytes } of all) {
      const ratio = rival && rival.entrant !== entrant ? (rival.seconds.best / seconds.best).toFixed(2) : '';
      console.log(
        [
          entrant.name.padEnd(24),
          `${seconds.best.toFixed(2)} (${seconds.median.toFixed(2)})`.padStart(14),
          processor.best.toFixed(2).padStart(7),
          (bytes / 1e9).toFixed(2).padStart(6),
          ratio && `  ${ratio} × node-llama-cpp`,
        ].join(''),
      );
    }
  }
}
for (const folder of [layouts, packed]) rmSync(folder, { recursive: true, force: true });
console.log(`\nload ${loadavg()[0]!.toFixed(2)}`);
