import { option, RopewalkError, said } from '../../errors.ts';
import type { CausalLM } from '../../families/family.ts';
import { type DeviceLimits, tensorLimit } from '../../runtime/device-limits.ts';
import type { Precision } from '../../runtime/devices.ts';
import type { SequenceShape } from '../graph.ts';
import type { Loss } from '../loss.ts';
import { estimateMemory, type MemoryEstimate } from '../memory.ts';
import type { AnyStep } from '../on-device/device-updates.ts';
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

/** What a plan needs more of than there is, in bytes. */
interface Shortage {
  /** Memory of this machine, memory of the device, or the size of one buffer there. */
  readonly of: 'memory' | 'device memory' | 'device buffer';
  /** What the buffer is for: a weight's path, or `activations`. */
  readonly buffer?: string;
  readonly needed: number;
  readonly available: number;
  /** All that this machine or device has; undefined for a buffer. */
  readonly whole?: number;
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
  /** What is known of the device, if it trains on one with memory of its own. */
  readonly device?: DeviceLimits;
  /** What there is too little of; undefined if it fits. */
  readonly shortage?: Shortage;
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
  /** What is known of the device in whose memory it trains, if it does. */
  readonly device?: DeviceLimits | undefined;
  /** Of its products there. */
  readonly precision?: Precision | undefined;
}

export function planRun(parts: PlanParts): RunPlan {
  const { model, trains, settings, shape, data, machine } = parts;
  const memory = memoryOf(parts, settings);
  const shortage = shortageOf(memory, parts);
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
    ...(parts.device && { device: parts.device }),
    fits: shortage === undefined,
    ...(shortage && { shortage }),
    remedies: shortage ? remediesFor(parts) : [],
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

/** What there is too little of, if anything. */
function shortageOf(memory: MemoryEstimate, { machine, device = {} }: PlanParts): Shortage | undefined {
  const planned = memory.device;
  const most = tensorLimit(device);
  if (planned && planned.largest.bytes > most) {
    const { of: buffer, bytes: needed } = planned.largest;
    return { of: 'device buffer', buffer, needed, available: most };
  }
  const { memoryBytes: whole, availableBytes = whole } = device;
  if (planned && availableBytes !== undefined && planned.total > availableBytes)
    return { of: 'device memory', needed: planned.total, available: availableBytes, whole: whole! };
  // A driver that computes in software has no memory of its own.
  const needed = memory.total + (device.kind === 'software' ? (planned?.total ?? 0) : 0);
  const { availableMemory: available, totalMemory } = machine;
  return needed > available ? { of: 'memory', needed, available, whole: totalMemory } : undefined;
}

/** @throws RopewalkError naming what there is too little of, and what would make the plan fit. */
export function checkFits({ shortage, device, remedies }: RunPlan): void {
  if (!shortage) return;
  const [best] = remedies;
  const options = Object.entries(best?.options ?? {}).flatMap(([name, value]) => [' ', option(name, value)]);
  throw new RopewalkError([
    `${shortageText(shortage, device)}; `,
    ...(best
      ? ['with', ...options, ` it would fit (${gigabytes(best.total)}).`]
      : device
        ? said`no option makes it fit; train on the CPU (${option('device', 'cpu')}), or choose a smaller model.`
        : ['no option makes it fit; choose a smaller model.']),
  ]);
}

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

function shortageText({ of, buffer, needed, available, whole }: Shortage, device?: DeviceLimits): string {
  const where = device?.name === undefined ? 'the device' : `the device (${device.name})`;
  if (of === 'device buffer') {
    const what =
      buffer === 'activations' ? 'the largest activation is one tensor' : `${buffer} is one tensor`;
    return `${what} of ${megabytes(needed)}, but ${where} has at most ${megabytes(available)} for one`;
  }
  const memory = of === 'memory' ? 'memory' : `memory on ${where}`;
  return `this needs about ${gigabytes(needed)} of ${memory}, but ${gigabytes(available)} of ${gigabytes(whole!)} are available`;
}

function remediesFor(parts: PlanParts): RunPlan['remedies'] {
  const { settings } = parts;
  return SAVINGS.flatMap((saving) => {
    const options = saving(settings, parts.ranks ?? 1);
    const same = Object.entries(options).every(([key, value]) => settings[key as keyof Saving] === value);
    const { optimizer = settings.optimizer } = options;
    const dealt = { ...settings, ...options };
    if ((dealt.batch * dealt.accumulate) % (parts.ranks ?? 1) !== 0) return [];
    if (same || (options.states && !optimizersWith('states').includes(optimizer))) return [];
    // On a device, states are float32, and some optimizers need each weight as one tensor.
    if (parts.device && options.states && options.states !== 'float32') return [];
    const memory = memoryOf(parts, { ...settings, ...options });
    const isParted = (memory.device?.parted.length ?? 0) > 0;
    if (isParted && optimizerRecord(optimizer).needsWholeWeights) return [];
    return shortageOf(memory, parts) ? [] : [{ options, total: memory.device?.total ?? memory.total }];
  });
}

function memoryOf(
  { model, trains, shape, loss, teacher, ranks = 1, device: limits, precision }: PlanParts,
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
      ...{ memory, trains, accumulate, precision },
      ...{ ranks, shard: settings.shard },
      stateBytes: (dims) => record.stateBytes(dims, options),
      ...(limits && {
        onDevice: {
          ...{ limits, wholeTables: record.needsWholeWeights },
          update: record.onDevice && { step: record.onDevice as AnyStep, options },
        },
      }),
      ...(loss && { loss }),
      ...(teacher && { teacher }),
    },
  );
}
