/**
 * Training speed in one interleaved run: whole steps (forward, backward, update) of Ropewalk, of PyTorch with
 * transformers in several settings, and of JavaScript libraries with WebAssembly, compared with the step's bare matrix
 * products in Ropewalk's engine (the limit).
 *
 *     npm run bench:training -- --python PYTHON [--tfjs FOLDER] [--jax FOLDER] [--only smol,llama-tiny,…] [--rounds 8]
 *         [--modes fast,recompute] [--no-compile] [--tiny 4x64] [--json FILE]
 *
 * bench/README.md describes the measurements and how to install the rivals.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { MemoryMode } from '../src/training/create-learner.ts';
import { casesOf } from './training/cases.ts';
import type { Entrant } from './training/contender.ts';
import { benchDecode } from './training/decode.ts';
import { modelOf, pytorchEntrants, type Rivals, ropewalk, scriptEntrants } from './training/entrants.ts';
import { productsOf, runMatch } from './training/match.ts';
import { formatAgreement, formatMatch } from './training/report.ts';

const { values: flags } = parseArgs({
  options: {
    python: { type: 'string', default: process.env.ROPEWALK_PYTHON ?? '' },
    tfjs: { type: 'string' },
    jax: { type: 'string' },
    only: { type: 'string' },
    rounds: { type: 'string', default: '8' },
    threads: { type: 'string', default: '2' },
    modes: { type: 'string', default: 'fast,recompute' },
    tiny: { type: 'string', default: '4x64' },
    work: { type: 'string', default: join(tmpdir(), 'ropewalk-bench') },
    'no-compile': { type: 'boolean', default: false },
    decode: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});

const rounds = Number(flags.rounds);
const [batch, seq] = flags.tiny.split('x').map(Number) as [number, number];
const modes = flags.modes.split(',') as MemoryMode[];
const rivals: Rivals = {
  bench: fileURLToPath(new URL('.', import.meta.url)),
  threads: Number(flags.threads),
  python: flags.python,
  compile: !flags['no-compile'],
  tfjs: installed('tfjs', '@tensorflow/tfjs-backend-wasm'),
  jax: installed('jax', '@jax-js/jax'),
};
if (rivals.python === '') console.log('PyTorch is left out: pass --python, a Python with PyTorch.');

const all = casesOf({ batch, seq });
const names = flags.only?.split(',') ?? all.map(({ name }) => name).filter((name) => name !== 'small');
const unknown = names.filter((name) => !all.some((each) => each.name === name));
if (unknown.length > 0) {
  fail(`--only takes ${all.map(({ name }) => name).join(', ')}, not ${unknown.join(', ')}.`);
}

const load = () =>
  loadavg()
    .map((x) => x.toFixed(2))
    .join(' ');
console.log(
  `${cpus()[0]!.model}, ${rivals.threads} threads, Node ${process.versions.node}, load average ${load()}`,
);
if (flags.decode) await benchDecode(rivals.threads);
const record: object[] = [];
for (const each of all.filter(({ name }) => names.includes(name))) {
  const model = await modelOf(each, resolve(flags.work));
  const [mode, ...others] = modes.map((name) => ropewalk(each, model, name, rivals)) as [
    Entrant,
    ...Entrant[],
  ];
  const bare = ropewalk(each, model, 'products', rivals);
  // Several matches, each including our first mode: all contenders at once do not fit into memory.
  const [first = [], ...groups] = pytorchEntrants(each, model, rivals);
  const scripts = scriptEntrants(each, model, rivals);
  let flops: number | undefined;
  for (const [i, group] of [
    [bare, ...others, ...first],
    ...groups,
    ...scripts.map((one) => [one]),
  ].entries()) {
    if (group.length === 0) continue;
    const { results, others: share, refused } = await runMatch([mode, ...group], rounds);
    flops ??= results.find((result) => result.flops !== undefined)?.flops;
    const facts = { tokens: each.batch * each.seq, flops: flops!, others: share, load: loadavg() };
    if (i === 0) {
      const products = `${(facts.flops / 1e9).toFixed(2)} GFLOP of matrix products a step`;
      console.log(`\n## ${each.title}, ${each.batch} × ${each.seq} tokens, ${products}`);
    }
    for (const reason of refused) console.log(`  ${reason}`);
    if (refused.length > 0 && group.every((entrant) => scripts.includes(entrant))) {
      for (const entrant of group) console.log(`  ${await productsOf(entrant)}`);
    }
    if (results.length < 2) continue;
    console.log(`\n${formatMatch(results, facts)}`);
    console.log(formatAgreement(results));
    record.push({
      case: each.name,
      facts,
      refused,
      results: results.map(({ name, about, seconds, losses }) => {
        return { name, about, seconds: seconds.values, losses };
      }),
    });
    if (flags.json) writeFileSync(flags.json, `${JSON.stringify(record, null, 1)}\n`);
  }
}
console.log(`\nload average ${load()}`);

/** The folder of a rival, if it is installed there. */
function installed(flag: 'tfjs' | 'jax', packageName: string): string | undefined {
  const folder = flags[flag];
  if (folder !== undefined && existsSync(join(folder, 'node_modules', packageName))) return resolve(folder);
  console.log(`${packageName} is left out: pass --${flag} FOLDER, where it is installed.`);
  return undefined;
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
