import { option, RopewalkError } from '../../errors.ts';
import type { CausalLM } from '../../families/family.ts';
import type { Precision } from '../../runtime/devices.ts';
import type { SequenceShape } from '../graph.ts';
import type { Loss } from '../loss.ts';
import { estimateMemory, type MemoryEstimate } from '../memory.ts';
import { optimizerRecord, optimizersWith, optionsOf } from '../optimizers/create-optimizer.ts';
import { shareOf } from '../parallel/deal.ts';
import { stepBytes } from '../parallel/shard.ts';
import { type Communication, type Network, stepMessages } from '../parallel/step-time.ts';
import { lengthOf, type RunLength, type TrainingSettings } from '../settings.ts';

/** The size of the data, counted in micro-batches. */
export interface DataSize {
  /** Absent if the data is a single text. */
  readonly examples?: number;
  readonly validationExamples?: number;
  /** Tokens of the training data, and how many of them count. */
  readonly tokens: number;
  readonly trainedTokens: number;
  /** Tokens held out of a single text. */
  readonly validationTokens?: number;
  /** An average for a single text, whose windows begin elsewhere in every epoch. */
  readonly batchesPerEpoch: number;
}

export interface Machine {
  /** Bytes of memory in total, and currently available. */
  readonly totalMemory: number;
  readonly availableMemory: number;
}

/** Options that would save memory. */
type Saving = Partial<
  Pick<TrainingSettings, 'batch' | 'accumulate' | 'memory' | 'optimizer' | 'states' | 'shard'>
>;

/** Processes that train together. */
export interface RanksPlan extends Communication {
  readonly count: number;
  /** From the network's speed, if it is known. */
  readonly network?: Network;
  readonly secondsCommunicating?: number;
  /** The share of a step in which the ranks compute. */
  readonly efficiency?: number;
}

/** What a run will do and need. */
export interface RunPlan {
  readonly parameters: number;
  readonly trainedParameters: number;
  readonly data: DataSize;
  /** All settings, including the length and the warm-up derived from them and the data. */
  readonly settings: TrainingSettings & RunLength;
  readonly steps: number;
  readonly epochs: number;
  /** Token positions of one step, including padding. */
  readonly tokensPerStep: number;
  readonly memory: MemoryEstimate;
  readonly machine: Machine;
  /** Changes that would make the plan fit, the least costly first; empty if it fits or nothing helps. */
  readonly remedies: readonly { readonly options: Saving; readonly total: number }[];
  readonly fits: boolean;
  /** Undefined for one process. Memory is then that of one of them. */
  readonly ranks?: RanksPlan;
  /** From a measured step; undefined if none was measured. */
  readonly secondsPerStep?: number;
}

/** Changes that save memory, the least costly first. */
const SAVINGS: readonly ((settings: TrainingSettings, ranks: number) => Saving)[] = [
  (_, ranks) => (ranks > 1 ? { shard: 'states' } : {}),
  ({ batch, accumulate }) => ({ batch: 1, accumulate: batch * accumulate }),
  () => ({ states: 'bfloat16' }),
  () => ({ memory: 'recompute' }),
  () => ({ states: 'int8' }),
  () => ({ memory: 'recompute', states: 'int8' }),
  () => ({ memory: 'light', accumulate: 1 }),
  () => ({ memory: 'light', states: 'int8', batch: 1, accumulate: 1 }),
  () => ({ memory: 'light', optimizer: 'adafactor', batch: 1, accumulate: 1 }),
  (_, ranks) => (ranks > 1 ? { shard: 'all', memory: 'light', accumulate: 1 } : {}),
];

export interface PlanParts {
  readonly model: CausalLM;
  readonly trains: (path: string) => boolean;
  readonly settings: TrainingSettings;
  /** The shape of its micro-batches; `batch` is in the settings. */
  readonly shape: Omit<SequenceShape, 'batch'>;
  readonly data: DataSize;
  readonly machine: Machine;
  readonly loss?: Loss | undefined;
  /** A second model that only runs forward. */
  readonly teacher?: CausalLM | undefined;
  /** Processes that train together. Memory is that of one of them. */
  readonly ranks?: number | undefined;
  /** Whether it trains in the memory of a device. */
  readonly onDevice?: boolean | undefined;
  /** Of its products there. */
  readonly precision?: Precision | undefined;
}

export function planRun(parts: PlanParts): RunPlan {
  const { model, trains, settings, shape, data, machine } = parts;
  const memory = memoryOf(parts, settings);
  const fits = memory.total <= machine.availableMemory;
  const sizes = [...model.parameters()];
  const trainedParameters = sizes.reduce((sum, [path, { size }]) => sum + (trains(path) ? size : 0), 0);
  const stepsPerEpoch = data.batchesPerEpoch / settings.accumulate;
  const length = lengthOf(settings, stepsPerEpoch);
  return {
    parameters: model.parameterCount(),
    trainedParameters,
    data,
    settings: { ...settings, ...length },
    steps: length.steps,
    epochs: length.steps / stepsPerEpoch,
    tokensPerStep: settings.batch * shape.seq * settings.accumulate,
    memory,
    machine,
    ...((parts.ranks ?? 1) > 1 && { ranks: ranksPlan(model, settings, parts.ranks!, trainedParameters) }),
    fits,
    remedies: fits ? [] : remediesFor(parts),
  };
}

function ranksPlan(
  model: CausalLM,
  { shard, wire }: TrainingSettings,
  count: number,
  trained: number,
): RanksPlan {
  return {
    count,
    bytes: stepBytes(shard, count, { weights: trained, gradients: trained }, wire),
    // The embedding and the head are stages as well.
    messages: stepMessages(shard, count, model.stages.layers.length + 2),
  };
}

/** @throws RopewalkError naming what would make the plan fit, if it does not. */
export function checkFits({ fits, memory, machine, remedies }: RunPlan): void {
  if (fits) return;
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  const [best] = remedies;
  const options = Object.entries(best?.options ?? {}).flatMap(([name, value]) => [' ', option(name, value)]);
  throw new RopewalkError([
    `this needs about ${gigabytes(memory.total)} of memory, but ${gigabytes(machine.availableMemory)} of ${gigabytes(machine.totalMemory)} are available; `,
    ...(best
      ? ['with', ...options, ` it would fit (${gigabytes(best.total)}).`]
      : ['no option makes it fit; choose a smaller model.']),
  ]);
}

function remediesFor(parts: PlanParts): RunPlan['remedies'] {
  const { settings, machine } = parts;
  return SAVINGS.flatMap((saving) => {
    const options = saving(settings, parts.ranks ?? 1);
    const same = Object.entries(options).every(([key, value]) => settings[key as keyof Saving] === value);
    const { optimizer = settings.optimizer } = options;
    const dealt = { ...settings, ...options };
    if ((dealt.batch * dealt.accumulate) % (parts.ranks ?? 1) !== 0) return [];
    if (same || (options.states && !optimizersWith('states').includes(optimizer))) return [];
    const { total } = memoryOf(parts, { ...settings, ...options });
    return total <= machine.availableMemory ? [{ options, total }] : [];
  });
}

function memoryOf(
  { model, trains, shape, loss, teacher, ranks = 1, onDevice = false, precision }: PlanParts,
  settings: TrainingSettings,
): MemoryEstimate {
  const { memory, optimizer, states } = settings;
  const { batch, accumulate } = shareOf(settings.batch, settings.accumulate, ranks);
  const record = optimizerRecord(optimizer);
  const options = optionsOf(optimizer, Object.hasOwn(record.options, 'states') && states ? { states } : {});
  return estimateMemory(
    model,
    { ...shape, batch },
    {
      ...{ memory, trains, accumulate, onDevice, precision },
      ...{ ranks, shard: settings.shard },
      stateBytes: (dims) => record.stateBytes(dims, options),
      ...(loss && { loss }),
      ...(teacher && { teacher }),
    },
  );
}
