/**
 * Inference speed in one interleaved run: Ropewalk against node-llama-cpp with the same weights and precision, and
 * against transformers.js with the ONNX model that Ropewalk exports.
 *
 *     npm run bench:inference -- --llama FOLDER [--transformers FOLDER] [--only smol|1b] [--rounds 5] [--json FILE]
 *
 * FOLDER is where `npm install` put a rival; see rivals/. Without it, that rival is left out. Weights are random
 * (speed does not depend on them) and are written once to --work. bench/README.md describes the measurements.
 */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ReadBandwidth } from './inference/bandwidth.ts';
import { entrantsOf, type Precision, type Rivals } from './inference/entrants.ts';
import { type Plan, type Result, runMatch } from './inference/match.ts';
import { ModelFiles } from './inference/model-files.ts';
import { formatMatch } from './inference/report.ts';
import { oneB, smol } from './inference/shapes.ts';

const { values: flags } = parseArgs({
  options: {
    llama: { type: 'string' },
    transformers: { type: 'string' },
    only: { type: 'string' },
    precision: { type: 'string' },
    blocks: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    work: { type: 'string', default: join(tmpdir(), 'ropewalk-bench') },
    package: { type: 'string', default: 'dist/bundle/node.js' },
    'skip-cold': { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});

const rounds = wholeNumber('rounds', flags.rounds);
const threads = wholeNumber('threads', flags.threads);
const contexts = [128, 2048];
const plan: Omit<Plan, 'decode'> = {
  rounds,
  contexts,
  prefill: 256,
  coldPrompt: 128,
  coldRounds: flags['skip-cold'] ? 0 : Math.min(rounds, 5),
};

const shapes = [
  { name: 'smol', title: 'SmolLM2-135M shape', config: smol, precisions: ['float32', 'int8', 'int4'] },
  // Its float32 weights are 5 GB.
  { name: '1b', title: 'Llama-3.2-1B shape', config: oneB, precisions: ['int8', 'int4'] },
] as const;

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) fail(`--${name} must be a whole number from 1 on, not ${text}.`);
  return value;
}

function blockSize(text: string): 32 | 64 | 128 {
  const size = Number(text);
  if (size === 32 || size === 64 || size === 128) return size;
  fail(`--blocks takes sizes of 32, 64 or 128, not ${text}.`);
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}

/** The folder of a rival, if it is installed there. */
function rivalFolder(flag: 'llama' | 'transformers', packageName: string): string | undefined {
  const folder = flags[flag];
  if (folder === undefined) {
    console.log(`${packageName} is left out: pass --${flag} FOLDER, where it is installed.`);
    return undefined;
  }
  if (!existsSync(join(folder, 'node_modules', packageName))) {
    console.log(`${packageName} is left out: it is not installed in ${folder}.`);
    return undefined;
  }
  return resolve(folder);
}

function warnOfLoad(): void {
  const [now] = loadavg() as [number, number, number];
  console.log(
    `load average ${loadavg()
      .map((x) => x.toFixed(2))
      .join(' ')}`,
  );
  if (now > 1) console.log('Warning: other work runs on this machine; do not keep these numbers.');
}

const packageEntry = resolve(flags.package);
if (!existsSync(packageEntry)) fail(`${packageEntry} does not exist; run npm run build first.`);
if (flags.only !== undefined && !shapes.some(({ name }) => name === flags.only)) {
  fail(`--only takes ${shapes.map(({ name }) => name).join(' or ')}, not ${flags.only}.`);
}
const precision = flags.precision;
if (precision !== undefined && !['float32', 'int8', 'int4'].includes(precision)) {
  fail(`--precision takes float32, int8 or int4, not ${precision}.`);
}
const rivals: Rivals = {
  threads,
  package: packageEntry,
  llama: rivalFolder('llama', 'node-llama-cpp'),
  transformers: rivalFolder('transformers', '@huggingface/transformers'),
  contextSize: Math.max(...contexts) + 256,
  blocks: flags.blocks.split(',').map(blockSize),
};
console.log(`${cpus()[0]!.model}, ${threads} threads, Node ${process.versions.node}`);
console.log(
  'Blocks of 128 share a scale among four times as many numbers as the 32 of Q4_0 and Q8_0: see bytes/weight.',
);
warnOfLoad();
const bandwidth = await ReadBandwidth.start(threads);
let bestRead = 0;
const record: { shape: string; precision: Precision; results: Result[] }[] = [];
for (const { name, title, config, precisions } of shapes) {
  if (flags.only !== undefined && flags.only !== name) continue;
  const files = new ModelFiles(name, config, resolve(flags.work));
  for (const each of precisions) {
    if (precision !== undefined && each !== precision) continue;
    const entrants = await entrantsOf(files, each, rivals);
    const results = await runMatch(
      entrants,
      { ...plan, decode: files.isLarge ? 24 : 48 },
      bandwidth,
      (bytes) => {
        bestRead = Math.max(bestRead, bytes);
      },
    );
    const facts = { title: `${title}, ${each}`, config, plan, bandwidth: bestRead };
    console.log(formatMatch(results, { ...facts, productWeights: files.productWeights }));
    record.push({ shape: name, precision: each, results });
  }
}
await bandwidth.stop();
console.log(
  `\nRead bandwidth: ${(bestRead / 1e9).toFixed(1)} GB/s, the best of all rounds: ${threads} threads, each through 512 MiB of its own with WebAssembly's 128-bit loads.`,
);
warnOfLoad();
if (flags.json !== undefined) {
  const json = record.map(({ shape, precision, results }) => ({
    shape,
    precision,
    results: results.map(({ decode, prefill, cold, ...rest }) => ({
      ...rest,
      decodeSeconds: Object.fromEntries([...decode].map(([context, { values }]) => [context, values])),
      prefillSeconds: prefill.values,
      coldSeconds: cold.values,
    })),
  }));
  const machine = { processor: cpus()[0]!.model, threads, node: process.versions.node, load: loadavg() };
  await writeFile(
    flags.json,
    `${JSON.stringify({ machine, plan, readBandwidth: bestRead, matches: json }, null, 2)}\n`,
  );
}
