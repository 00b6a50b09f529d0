/**
 * Where a model's time goes, from the engine's own profile: the time of each kind of operator for one decoded token at
 * several context lengths, and for a prompt.
 *
 *     node scripts/run-ts.js bench/profile.ts MODEL [--quantize int8|int4] [--block 128] [--contexts 128,2048]
 *         [--prefill 256] [--tokens 100] [--activations int8|exact] [--threads 2]
 *
 * MODEL is a Hugging Face directory or a GGUF file. Times are lower quartiles over tokens, which excludes those that
 * waited for another process; profiling itself slows a token with many small operators by some percent.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openModel } from '../src/checkpoint/load.node.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import type { Decoder } from '../src/generation/decoder.ts';
import { prefill } from '../src/generation/generate.ts';
import type { Quantization } from '../src/onnx/quantize.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { betweenOperators, operatorTimes, type ProfileEvent, runsOf } from './inference/profile-events.ts';
import { quantile } from './inference/samples.ts';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quantize: { type: 'string' },
    block: { type: 'string', default: '128' },
    contexts: { type: 'string', default: '128,2048' },
    prefill: { type: 'string', default: '256' },
    tokens: { type: 'string', default: '100' },
    threads: { type: 'string', default: '2' },
    activations: { type: 'string', default: 'int8' },
  },
});
const [path] = positionals;
if (path === undefined) {
  console.error('usage: node scripts/run-ts.js bench/profile.ts MODEL [options]');
  process.exit(2);
}

const quantize = flags.quantize && {
  bits: flags.quantize === 'int8' ? 8 : 4,
  block: Number(flags.block),
};
const folder = mkdtempSync(join(tmpdir(), 'ropewalk-profile-'));
const threads = Number(flags.threads);

/** The name of a series of runs, and the time of each run as seen by its caller, in milliseconds. */
interface Stretch {
  readonly label: string;
  readonly walls: number[];
}

async function open(profile: string | undefined): Promise<Decoder> {
  const opened = await openModel(path!);
  try {
    return await createDecoder(opened, {
      engine: nodeEngine({ threads, ...(profile !== undefined && { profile }) }),
      activations: flags.activations === 'exact' ? 'exact' : 'int8',
      ...(quantize && { quantize: quantize as Quantization }),
    });
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

/** For times that other processes lengthen. */
const typical = (times: readonly number[]) => quantile(times, 0.25);

const ids = (count: number) => Array.from({ length: count }, (_, i) => 100 + ((i * 7919) % 1000));

/** The same runs with and without profiling. */
async function runAll(decoder: Decoder): Promise<Stretch[]> {
  const stretches: Stretch[] = [];
  const timed = async (label: string, count: number, run: (i: number) => Promise<unknown>) => {
    const walls: number[] = [];
    for (let i = 0; i < count; i++) {
      const started = performance.now();
      await run(i);
      walls.push(performance.now() - started);
    }
    stretches.push({ label, walls });
  };
  const prompt = Number(flags.prefill);
  await timed(`prompt of ${prompt}`, 5, () => decoder.forward(ids(prompt), decoder.newCache()));
  for (const context of flags.contexts.split(',').map(Number)) {
    const cache = decoder.newCache();
    const chunks = Math.ceil(context / 256);
    await timed('', chunks, (i) => prefill(decoder, cache, ids(Math.min(256, context - i * 256))));
    await timed(`token at ${context}`, Number(flags.tokens), (i) => decoder.forward([100 + i], cache));
  }
  return stretches;
}

console.log(
  `load average ${loadavg()
    .map((x) => x.toFixed(2))
    .join(' ')}`,
);
const plain = await open(undefined);
const plainStretches = await runAll(plain);
await plain.release();
const profiled = await open(join(folder, 'profile'));
const stretches = await runAll(profiled);
profiled.endProfiling();
await profiled.release();
const file = readdirSync(folder).find((name) => name.endsWith('.json'));
const events = JSON.parse(readFileSync(join(folder, file!), 'utf8')) as ProfileEvent[];
rmSync(folder, { recursive: true });
const runs = runsOf(events);

let at = 0;
stretches.forEach(({ label, walls }, i) => {
  const own = runs.slice(at, at + walls.length);
  at += walls.length;
  if (label === '') return;
  const operators = operatorTimes(
    own.map(({ nodes }) => nodes),
    typical,
  );
  const rows = [
    ...operators,
    { name: 'between operators', count: '', milliseconds: typical(own.map(betweenOperators)) },
    {
      name: 'outside the engine',
      count: '',
      milliseconds: typical(walls.map((wall, run) => wall - own[run]!.milliseconds)),
    },
  ];
  const sum = rows.reduce((all, { milliseconds }) => all + milliseconds, 0);
  console.log(
    `\n${label}: ${typical(plainStretches[i]!.walls).toFixed(2)} ms; profiled ${typical(walls).toFixed(2)} ms, of which`,
  );
  for (const { name, count, milliseconds } of rows) {
    const share = (100 * milliseconds) / sum;
    console.log(
      `  ${name.padEnd(34)} ${String(count).padStart(4)} ${milliseconds.toFixed(3).padStart(9)} ms ${share.toFixed(1).padStart(5)} %`,
    );
  }
});
