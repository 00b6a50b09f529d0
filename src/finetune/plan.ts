import type { CausalLM } from '../families/family.ts';
import type { SequenceShape } from '../training/graph.ts';
import type { Loss } from '../training/loss.ts';
import { estimateMemory, type MemoryEstimate } from '../training/memory.ts';
import type { FinetuneSettings } from './settings.ts';

/** What the data come to, in the micro-batches that they are given in. */
export interface DataSize {
  readonly examples: number;
  readonly validationExamples: number;
  /** Tokens of the training examples, and those among them that count. */
  readonly tokens: number;
  readonly trainedTokens: number;
  readonly batchesPerEpoch: number;
}

export interface Machine {
  /** Bytes of memory, and those that can be had at the moment. */
  readonly totalMemory: number;
  readonly availableMemory: number;
}

/** What a run is going to do and what it takes. */
export interface FinetunePlan {
  readonly parameters: number;
  readonly trainedParameters: number;
  readonly data: DataSize;
  readonly steps: number;
  readonly epochs: number;
  /** Places of the rows of one step, padding included. */
  readonly tokensPerStep: number;
  readonly memory: MemoryEstimate;
  readonly machine: Machine;
  /** Options that would make a plan fit that does not, the least costly first; none when it fits or nothing helps. */
  readonly remedies: readonly { readonly options: string; readonly total: number }[];
  readonly fits: boolean;
  /** From a measured step; undefined where none was measured. */
  readonly secondsPerStep?: number;
}

/** The settings that memory depends on. */
export type MemoryChoice = Pick<
  FinetuneSettings,
  'batch' | 'seq' | 'accumulate' | 'memory' | 'optimizer' | 'states'
>;

/** Changes that save memory, the least costly first. */
const SAVINGS: readonly ((choice: MemoryChoice) => {
  readonly change: Partial<MemoryChoice>;
  readonly options: string;
})[] = [
  ({ batch, accumulate }) => ({
    change: { batch: 1, accumulate: batch * accumulate },
    options: `--batch 1 --accumulate ${batch * accumulate}`,
  }),
  () => ({ change: { states: 'bfloat16' }, options: '--states bfloat16' }),
  () => ({ change: { memory: 'recompute' }, options: '--memory recompute' }),
  () => ({ change: { states: 'int8' }, options: '--states int8' }),
  () => ({ change: { memory: 'recompute', states: 'int8' }, options: '--memory recompute --states int8' }),
  () => ({ change: { memory: 'light', accumulate: 1 }, options: '--memory light --accumulate 1' }),
  () => ({
    change: { memory: 'light', states: 'int8', batch: 1, accumulate: 1 },
    options: '--memory light --states int8 --batch 1 --accumulate 1',
  }),
  () => ({
    change: { memory: 'light', optimizer: 'adafactor', states: 'float32', batch: 1, accumulate: 1 },
    options: '--memory light --optimizer adafactor --batch 1 --accumulate 1',
  }),
];

export function planFinetune(parts: {
  readonly model: CausalLM;
  readonly trains: (path: string) => boolean;
  readonly settings: FinetuneSettings;
  readonly data: DataSize;
  readonly machine: Machine;
  readonly loss?: Loss | undefined;
}): FinetunePlan {
  const { model, trains, settings, data, machine } = parts;
  const estimate = (choice: MemoryChoice) => planMemory(model, trains, choice, parts.loss);
  const memory = estimate(settings);
  const fits = memory.total <= machine.availableMemory;
  const sizes = [...model.parameters()];
  const trainedParameters = sizes.reduce((sum, [path, { size }]) => sum + (trains(path) ? size : 0), 0);
  const stepsPerEpoch = data.batchesPerEpoch / settings.accumulate;
  const steps = settings.steps ?? Math.max(1, Math.ceil(settings.epochs * stepsPerEpoch));
  return {
    parameters: model.parameterCount(),
    trainedParameters,
    data,
    steps,
    epochs: steps / stepsPerEpoch,
    tokensPerStep: settings.batch * settings.seq * settings.accumulate,
    memory,
    machine,
    fits,
    remedies: fits ? [] : remediesFor(settings, machine.availableMemory, estimate),
  };
}

function remediesFor(
  settings: MemoryChoice,
  available: number,
  estimate: (choice: MemoryChoice) => MemoryEstimate,
) {
  const found: { options: string; total: number }[] = [];
  for (const saving of SAVINGS) {
    const { change, options } = saving(settings);
    const choice = { ...settings, ...change };
    const same = (Object.keys(change) as (keyof MemoryChoice)[]).every(
      (key) => settings[key] === change[key],
    );
    if (same || (choice.optimizer !== 'adamw' && choice.states !== 'float32')) continue;
    if (settings.optimizer !== 'adamw' && change.states !== undefined && change.optimizer === undefined)
      continue;
    const { total } = estimate(choice);
    if (total <= available) found.push({ options, total });
  }
  return found;
}

/** Memory of a step, from the shapes of the graphs that would run. */
export function planMemory(
  model: CausalLM,
  trains: (path: string) => boolean,
  { batch, seq, accumulate, memory, optimizer, states }: MemoryChoice,
  loss?: Loss,
): MemoryEstimate {
  const shape: SequenceShape = { batch, seq, packed: true };
  const trained = [...model.parameters()]
    .filter(([path]) => trains(path))
    .map(([, { shape: dims, size }]) => ({ dims, size }));
  const count = trained.reduce((sum, { size }) => sum + size, 0);
  const bytes = trained.reduce((sum, { dims, size }) => sum + stateBytes(optimizer, states, dims, size), 0);
  const stateBytesEach = bytes / Math.max(1, count);
  return estimateMemory(model, shape, {
    memory,
    trains,
    accumulate,
    stateBytes: stateBytesEach,
    ...(loss && { loss }),
  });
}

/** Bytes that an optimizer keeps for one weight tensor. */
function stateBytes(
  optimizer: MemoryChoice['optimizer'],
  states: MemoryChoice['states'],
  dims: readonly number[],
  size: number,
): number {
  if (optimizer === 'sgd') return 0;
  // Adafactor keeps a mean for each row and each column of a matrix.
  if (optimizer === 'adafactor') return 4 * (dims.length >= 2 ? size / dims[0]! + dims[0]! : size);
  // Two moments; in blocks of 8-bit numbers a scale for each block, and small tensors in float32.
  return { float32: 8, bfloat16: 4, int8: 2.1 }[states] * size;
}
