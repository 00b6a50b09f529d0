import type { CausalLM } from '../../families/family.ts';
import { sizeOf } from '../../graph/dims.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Precision } from '../../runtime/devices.ts';
import {
  backwardGraph,
  forwardGraph,
  keepingGraphs,
  modelPieces,
  type Piece,
  productsIn,
} from '../blocks/block-graph.ts';
import type { SequenceShape } from '../graph.ts';
import { crossEntropy, type Loss } from '../loss.ts';
import { peakBytes } from '../peak-bytes.ts';
import { weightParts } from './device-weights.ts';
import { deviceHeadGraph, partedEmbedding, tablesOf } from './parted-tables.ts';

/** The memory of a device that trains, in bytes. */
export interface DeviceEstimate {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** What passes between blocks, and what is kept of each for the backward pass. */
  readonly activations: number;
  /** Gradients before they are added to others. */
  readonly added: number;
  /** Peak of what the graphs hold while they run. */
  readonly scratch: number;
  readonly total: number;
  /** Of the products. */
  readonly precision: Precision;
}

export interface DeviceEstimateOptions {
  readonly memory: 'fast' | 'recompute' | 'light';
  readonly trains: (path: string) => boolean;
  readonly accumulate: number;
  readonly stateBytes: (shape: readonly number[]) => number;
  readonly loss?: Loss;
  /** Of the products. Default float32. */
  readonly precision?: Precision | undefined;
}

/** Estimates what a learner on a device allocates, and what its graphs take beside that. Nothing is allocated. */
export function estimateOnDevice(
  model: CausalLM,
  shape: SequenceShape,
  {
    memory,
    trains,
    accumulate,
    stateBytes,
    loss = crossEntropy,
    precision = 'float32',
  }: DeviceEstimateOptions,
): DeviceEstimate {
  const [whole, ...rest] = modelPieces(model, shape) as [Piece, ...Piece[]];
  const parts = weightParts(model, tablesOf(model, whole));
  const embedding = partedEmbedding(whole, parts);
  const [rows, width] = whole.y.shape as [number, number];
  const head = deviceHeadGraph({ model, rows, width, trains, precision }, parts, loss);
  const all = [...model.parameters().values()];
  const wholeOf = new Map([...parts.values()].flat().map(({ name, path }) => [name, path]));
  const shapes = new Map([...parts.values()].flat().map((part) => [part.name, part.shape]));
  const stages = [embedding, ...rest].map(({ parameters }) =>
    parameters.map(({ path }) => path).filter((name) => trains(wholeOf.get(name)!)),
  );
  const groups = [...stages, head.trained];
  const bytes = (name: string) => 4 * (sizeOf(shapes.get(name)!) as number);
  const sum = (names: readonly string[]) => names.reduce((total, name) => total + bytes(name), 0);
  const counts = new Map<string, number>();
  for (const name of groups.flat()) counts.set(name, (counts.get(name) ?? 0) + 1);
  const tied = [...counts].filter(([, count]) => count > 1).map(([name]) => name);
  const trained = [...counts.keys()];
  const own = groups.map((names) => names.filter((name) => counts.get(name) === 1));
  const gradients = memory === 'light' ? slotBytes(own, shapes) + sum(tied) : sum(trained);
  // A further gradient, and the sum with it, of which there is one for each size.
  const adds = accumulate > 1 ? groups : [tied];
  const sizes = new Set(adds.flat().map(bytes));
  const added = slotBytes(adds, shapes) + [...sizes].reduce((total, size) => total + size, 0);
  let kept = 0;
  let scratch = Math.max(
    passBytes(new Map([['loss', head.loss], ...head.gradients]), precision),
    peakBytes([...backwardGraph(embedding, namesOf(embedding, stages[0]!), false).values()], 'webgpu'),
  );
  const known = new Map<string, { readonly kept: number; readonly peak: number }>();
  for (const [i, piece] of rest.entries()) {
    // Layers with the same weights' shapes take the same, but for masks.
    const names = namesOf(piece, stages[i + 1]!);
    const key = JSON.stringify([piece.parameters.map(({ name, shape: dims }) => [name, dims]), names, i % 6]);
    const found = known.get(key) ?? stageBytes(piece, names, memory === 'fast', precision);
    known.set(key, found);
    kept += found.kept;
    scratch = Math.max(scratch, found.peak);
  }
  const weights = all.reduce((total, { size }) => total + 4 * size, 0);
  const optimizer = [...model.parameters()].reduce(
    (total, [path, { shape: dims }]) => total + (trains(path) ? stateBytes(dims) : 0),
    0,
  );
  const activations = 4 * rows * width * (rest.length + 3) + kept;
  const total = weights + gradients + optimizer + activations + added + scratch;
  return { weights, gradients, optimizer, activations, added, scratch, total, precision };
}

function namesOf({ parameters }: Piece, trained: readonly string[]): string[] {
  return parameters.filter(({ path }) => trained.includes(path)).map(({ name }) => name);
}

/** What a pass takes while it runs. Weights in float16 are there only then. */
function passBytes(pass: ReadonlyMap<string, Tensor>, precision: Precision): number {
  return peakBytes([...productsIn(precision, pass, 'webgpu').values()], 'webgpu');
}

function stageBytes(piece: Piece, names: readonly string[], keeps: boolean, precision: Precision) {
  if (!keeps) {
    const passes = [forwardGraph(piece), backwardGraph(piece, names, true)];
    return { kept: 0, peak: Math.max(...passes.map((pass) => passBytes(pass, precision))) };
  }
  const { forward, backward, kept } = keepingGraphs(piece, names, true, 'webgpu', precision);
  return {
    kept: kept.reduce(
      (sum, { dtype, shape }) => sum + (dtype === 'float16' ? 2 : 4) * (sizeOf(shape) as number),
      0,
    ),
    peak: Math.max(peakBytes([...forward.values()], 'webgpu'), peakBytes([...backward.values()], 'webgpu')),
  };
}

/** Bytes of the tensors that stages share: of each shape, as many as the stage with most has. */
function slotBytes(
  stages: readonly (readonly string[])[],
  shapes: ReadonlyMap<string, readonly number[]>,
): number {
  const most = new Map<string, { readonly count: number; readonly bytes: number }>();
  for (const names of stages) {
    const counts = new Map<string, number>();
    for (const name of names) {
      const shape = shapes.get(name)!;
      const key = shape.join();
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      const bytes = 4 * (sizeOf(shape) as number);
      if (count > (most.get(key)?.count ?? 0)) most.set(key, { count, bytes });
    }
  }
  return [...most.values()].reduce((sum, { count, bytes }) => sum + count * bytes, 0);
}
