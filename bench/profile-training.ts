/**
 * Where a training step's time goes, from the engine's own profile: each kind of operator, products by shape with
 * their rate, and the time outside the engine.
 *
 *     node scripts/run-ts.js bench/profile-training.ts MODEL [--rows 4x256] [--mode fast|recompute|light] [--steps 4]
 *         [--threads 2] [--top 24]
 *
 * MODEL is a Hugging Face directory or a GGUF file. Times are medians over the steps after the first; profiling slows
 * models with many small operators.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { sizeOf } from '../src/graph/dims.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { createLearner, type MemoryMode } from '../src/training/create-learner.ts';
import { median } from './inference/samples.ts';
import { batchIds } from './training/cases.ts';
import { namedOptimizer } from './training/optimizers.ts';

/** An event of ONNX Runtime's profile, in microseconds. */
interface Event {
  readonly cat: string;
  readonly name: string;
  readonly dur: number;
  readonly args?: {
    readonly op_name?: string;
    readonly input_type_shape?: readonly Record<string, number[]>[];
    readonly output_type_shape?: readonly Record<string, number[]>[];
  };
}

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '4x256' },
    mode: { type: 'string', default: 'fast' },
    steps: { type: 'string', default: '4' },
    threads: { type: 'string', default: '2' },
    top: { type: 'string', default: '24' },
  },
});
const [path] = positionals;
if (path === undefined) throw new Error('usage: bench/profile-training.ts MODEL [options]');
const [batch, seq] = flags.rows.split('x').map(Number) as [number, number];
const steps = Number(flags.steps);

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-profile-'));
const load = () =>
  loadavg()
    .map((x) => x.toFixed(2))
    .join(' ');
console.log(`${path}, ${flags.rows}, ${flags.mode}; load average ${load()}`);
const plain = await measure(undefined);
const profiled = await measure(join(folder, 'profile'));
const events = readdirSync(folder).flatMap(
  (name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Event[],
);
rmSync(folder, { recursive: true });

const kinds = new Map<string, { count: number; milliseconds: number; flops: number }>();
let inRuns = 0;
for (const event of events) {
  if (event.cat === 'Session' && event.name === 'model_run') inRuns += event.dur / 1000;
  if (event.cat !== 'Node' || !event.name.endsWith('_kernel_time')) continue;
  const { kind, flops } = describe(event);
  const sum = kinds.get(kind) ?? { count: 0, milliseconds: 0, flops: 0 };
  sum.count++;
  sum.milliseconds += event.dur / 1000;
  sum.flops += flops;
  kinds.set(kind, sum);
}
// The first step is also in the profile.
const made = steps + 1;
const rows = [...kinds].sort(([, a], [, b]) => b.milliseconds - a.milliseconds);
const inKernels = rows.reduce((sum, [, { milliseconds }]) => sum + milliseconds, 0);
const products = rows.filter(([, { flops }]) => flops > 0);
const productTime = products.reduce((sum, [, { milliseconds }]) => sum + milliseconds, 0);
const productFlops = products.reduce((sum, [, { flops }]) => sum + flops, 0);
const milliseconds = (value: number) => `${(value / made).toFixed(1).padStart(9)} ms`;

console.log(`a step: ${(1000 * median(plain.steps)).toFixed(1)} ms; profiled:`);
console.log(`${milliseconds(1000 * profiled.steps.reduce((a, b) => a + b))}  a step, the first one included`);
console.log(`${milliseconds(1000 * profiled.optimizer.reduce((a, b) => a + b))}  optimizer`);
console.log(`${milliseconds(inRuns)}  in the engine, of which`);
console.log(`${milliseconds(inRuns - inKernels)}    between operators`);
console.log(
  `${milliseconds(productTime)}    products, ${(productFlops / productTime / 1e6).toFixed(0)} GFLOP/s over ${(productFlops / made / 1e9).toFixed(1)} GFLOP`,
);
console.log(`${milliseconds(inKernels - productTime)}    other operators\n`);
for (const [kind, { count, milliseconds: time, flops }] of rows.slice(0, Number(flags.top))) {
  const share = `${((100 * time) / inRuns).toFixed(1).padStart(5)} %`;
  const rate = flops > 0 ? `${(flops / time / 1e6).toFixed(0).padStart(5)} GFLOP/s` : '';
  console.log(
    `${milliseconds(time)} ${share} ${String(Math.round(count / made)).padStart(5)} × ${kind.padEnd(52)} ${rate}`,
  );
}
console.log(`\nload average ${load()}`);

async function measure(profile: string | undefined) {
  const opened = await openModel(path!);
  const engine = nodeEngine({ threads: Number(flags.threads), ...(profile !== undefined && { profile }) });
  const session = await createLearner(
    engine,
    opened.model,
    { batch, seq },
    { memory: flags.mode as MemoryMode },
  );
  await session.fill((values) => readWeights(opened, values));
  await opened.checkpoint.tensors.close();
  const optimizer = namedOptimizer(session, 'adamw:float32');
  const result = { steps: [] as number[], optimizer: [] as number[] };
  for (let step = 0; step <= steps; step++) {
    const ids = batchIds(step, { batch, seq: seq - 1 }, opened.model.config.vocab_size);
    optimizer.seconds = 0;
    const started = performance.now();
    await session.step([{ inputs: ids, targets: ids }], { optimizer, learningRate: 1e-5, clip: 0 });
    result.steps.push((performance.now() - started) / 1000);
    result.optimizer.push(optimizer.seconds);
  }
  await session.release(); // which writes the profile
  return result;
}

/** An operator's name in the table, and its operations if it is a product. */
function describe({ args }: Event): { kind: string; flops: number } {
  const operator = args?.op_name ?? 'unknown';
  const shapes = (
    list: typeof args extends undefined ? never : readonly Record<string, number[]>[] | undefined,
  ) => (list ?? []).map((entry) => Object.values(entry)[0] ?? []);
  const [out = []] = shapes(args?.output_type_shape);
  const [left = []] = shapes(args?.input_type_shape);
  if (!/MatMul|Gemm/.test(operator) || out.length < 2)
    return { kind: `${operator} → ${out.join('×')}`, flops: 0 };
  const columns = out.at(-1)!;
  // Every value on the left is used once for each column of the result.
  const inner = (sizeOf(left) * columns) / sizeOf(out);
  const batches = out.slice(0, -2).join('×');
  const kind = `${operator} ${batches && `${batches} of `}[${out.at(-2)}, ${inner}]·[${inner}, ${columns}]`;
  return { kind, flops: 2 * sizeOf(out) * inner };
}
