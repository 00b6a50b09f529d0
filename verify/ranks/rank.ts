/* One process of verify/ranks-memory.ts and bench/ranks-shard.ts. Settings, as JSON in the first argument: {@link RankSettings}. */
import { readFileSync } from 'node:fs';
import { familyByName } from '../../src/families/index.ts';
import { joinRanks } from '../../src/ranks/mpi.node.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import { createLearner, type MemoryMode } from '../../src/training/create-learner.ts';
import { estimateMemory } from '../../src/training/memory.ts';
import {
  createOptimizer,
  optimizerRecord,
  optionsOf,
} from '../../src/training/optimizers/create-optimizer.ts';
import { RunRanks } from '../../src/training/parallel/ranks.ts';
import type { Shard, Wire } from '../../src/training/parallel/shard.ts';

export interface RankSettings {
  readonly family: string;
  readonly config: object;
  /** Rows of a step of all ranks, and tokens of a row. */
  readonly batch: number;
  readonly seq: number;
  readonly steps: number;
  readonly threads: number;
  readonly memory: MemoryMode;
  readonly shard: Shard;
  readonly wire: Wire;
  readonly optimizer: 'adamw' | 'sgd';
  readonly lr: number;
  readonly headChunk?: number;
  /** Whether the engine runs beside the communication. Default true. */
  readonly inBackground?: boolean;
}

/** What a rank measured. */
export interface RankResult {
  readonly losses: readonly number[];
  /** Of each step. */
  readonly seconds: readonly number[];
  /** Processor time of all steps but the first. */
  readonly processorSeconds: number;
  /** Bytes sent in the last step. */
  readonly bytesSent: number;
  /** The most memory that the process had, as the operating system counts it, and its plan. */
  readonly peak: number;
  readonly plan: number;
}

const settings = JSON.parse(process.argv[2]!) as RankSettings;
const { batch, seq, steps, threads, memory, shard, wire, optimizer: kind, lr } = settings;
const job = joinRanks();
const ranks = job?.size ?? 1;
const model = familyByName(settings.family).build(settings.config as never);
const parallel = job && {
  ranks: new RunRanks(job, undefined),
  accumulate: 1,
  shard,
  wire,
  wholeWeights: false,
};
const isFirst = !job || job.rank === 0;
/** Prints what the process has now, by kind: allocated, of files (shared by the ranks of a machine), and its share of all. */
function report(when: string): void {
  if (!isFirst) return;
  const megabytes = (file: string, field: string) =>
    Math.round(
      Number(
        new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/self/${file}`, 'utf8'))![1],
      ) / 976.6,
    );
  const [allocated, files, shared] = ['RssAnon', 'RssFile', 'RssShmem'].map((field) =>
    megabytes('status', field),
  );
  console.error(
    `${when}: ${allocated} MB allocated, ${files} MB of files, ${shared} MB shared; ${megabytes('smaps_rollup', 'Pss')} MB as its share; peak ${megabytes('status', 'VmHWM')} MB`,
  );
}
report('begun');
const learner = await createLearner(
  nodeEngine({ threads }),
  model,
  { batch, seq },
  {
    memory,
    parallel,
    ...(settings.headChunk !== undefined && { headChunk: settings.headChunk }),
    ...(settings.inBackground === false && { settings: { inBackground: false } }),
  },
);
report('learner');
// The same weights whatever the ranks: each from its place.
let seed = 1;
for (const [path, array] of await learner.values()) {
  const start = learner.slices?.rangeOf(path).start ?? 0;
  seed++;
  if (path.includes('norm')) array.fill(settings.family === 'gemma2' ? 0 : 1);
  else
    for (let i = 0; i < array.length; i++)
      array[i] =
        (((Math.imul(start + i + 1, 0x9e3779b1) ^ Math.imul(seed, 0x85ebca6b)) >>> 8) / 2 ** 24 - 0.5) / 20;
}
const optimizer = createOptimizer(kind, learner.parameters);
report('optimizer');
const vocabSize = model.head.weight.shape[0]!;
const token = (i: number) => (i * 7919 + (i % 13) * 104729) % vocabSize;
const losses: number[] = [];
const seconds: number[] = [];
let cpu = process.cpuUsage();
let before = 0;
for (let step = 0; step < steps; step++) {
  const first = step * batch * seq;
  const rows = {
    inputs: Int32Array.from({ length: batch * seq }, (_, i) => token(first + i)),
    targets: Int32Array.from({ length: batch * seq }, (_, i) => token(first + i + 1)),
  };
  before = job?.bytesSent ?? 0;
  const started = performance.now();
  const { loss } = await learner.step([rows], { optimizer, learningRate: lr, clip: 1 });
  seconds.push((performance.now() - started) / 1000);
  losses.push(loss);
  report(`step ${step + 1}`);
  if (isFirst) console.error(`step ${step + 1}: loss ${loss.toFixed(4)}, ${seconds.at(-1)!.toFixed(1)} s`);
  if (step === 0) cpu = process.cpuUsage();
}
const { user, system } = process.cpuUsage(cpu);
const processorSeconds = (user + system) / 1e6;
const bytesSent = (job?.bytesSent ?? 0) - before;
const [, kibibytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))!;
const record = optimizerRecord(kind);
const options = optionsOf(kind, {});
const plan = estimateMemory(
  model,
  { batch: batch / ranks, seq },
  {
    ...{ memory, accumulate: 1, ranks, shard, trains: () => true },
    stateBytes: (shape) => record.stateBytes(shape, options),
  },
).total;
const result: RankResult = {
  ...{ losses, seconds, processorSeconds, bytesSent },
  peak: 1024 * Number(kibibytes),
  plan,
};
const all = job ? await job.gather(JSON.stringify(result)) : [JSON.stringify(result)];
if (!job || job.rank === 0) console.log(`[${all.join(',')}]`);
await learner.release();
await job?.leave();
