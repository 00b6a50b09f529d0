import type { CausalLM } from '../families/family.ts';
import { sizeOf } from '../graph/dims.ts';
import { input, reshapeOp } from '../graph/operators/index.ts';
import { simplify } from '../graph/simplify.ts';
import { type Dialect, isNodeOf, type Node, type Tensor } from '../graph/tensor.ts';
import { topologicalOrder } from '../graph/traverse.ts';
import { backwardGraph, keepingGraphs, modelPieces, type Piece } from './blocks/block-graph.ts';
import { vocabularyChunk } from './blocks/block-head-chunks.ts';
import { type MemoryMode, usesWholeGraph } from './create-learner.ts';
import { lossInputs, type SequenceShape, trainingGraph } from './graph.ts';
import { crossEntropy, type Loss } from './loss.ts';
import type { Shard } from './parallel/shard.ts';
import { compactEmbedding } from './sharded/sharded-embedding.ts';
import { shardedChunk, stageWeights, tablesOf } from './sharded/stages.ts';

export interface MemoryOptions {
  readonly memory: MemoryMode;
  readonly trains: (path: string) => boolean;
  /** Micro-batches per step. */
  readonly accumulate: number;
  /** Bytes of the optimizer's state for a trained weight of this shape. */
  readonly stateBytes: (shape: readonly number[]) => number;
  readonly loss?: Loss;
  /** Processes that train together, and what they divide among themselves. Default one. */
  readonly ranks?: number;
  readonly shard?: Shard;
  /** A second model that only runs forward: its weights are held, and its head a second time for the loss. */
  readonly teacher?: CausalLM;
}

/** The memory of training, in bytes. */
export interface MemoryEstimate {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** Peak of activations and other tensors of the graphs. */
  readonly activations: number;
  /** Weights of an online teacher. */
  readonly teacher?: number;
  /** The program and the engine. */
  readonly program: number;
  readonly total: number;
}

/** Node, the engine's library and its compiled graphs, measured on small models. */
const PROGRAM = 300 * 2 ** 20;

/** Open MPI, and the data of two calls in flight: measured on small models. */
const COMMUNICATION = 30 * 2 ** 20;

/**
 * Estimates the memory of training from the lifetimes of the tensors in the graphs that would run. Nothing is
 * compiled or allocated.
 */
export function estimateMemory(
  model: CausalLM,
  shape: SequenceShape,
  options: MemoryOptions,
): MemoryEstimate {
  const { memory, trains, accumulate, stateBytes, ranks = 1, shard = 'none' } = options;
  if (shard === 'all' && ranks > 1) return estimateSharded(model, shape, options, ranks);
  const sizes = [...model.parameters()].map(([path, { size, shape: dims }]) => ({ path, size, dims }));
  const trained = sizes.filter(({ path }) => trains(path));
  const count = (list: readonly { readonly size: number }[]) => list.reduce((sum, { size }) => sum + size, 0);
  const whole = usesWholeGraph(model, memory);
  // In the whole graph, the gradients of further micro-batches have separate arrays until they are added.
  const copies = whole && accumulate > 1 ? 2 : 1;
  const gradients =
    memory === 'light' ? largestStage(model, shape, trains, ranks > 1 ? 2 : 1) : 4 * copies * count(trained);
  const activations = whole
    ? peakBytes([
        ...trainingGraph(model, shape, { trains, ...(options.loss && { loss: options.loss }) }).values(),
      ])
    : blockActivations(model, shape, options);
  const weights = 4 * count(sizes);
  const states = trained.reduce((sum, { dims }) => sum + stateBytes(dims), 0);
  const optimizer = shard === 'none' ? states : states / ranks;
  const program = programBytes(ranks);
  const teacher =
    options.teacher && 4 * (options.teacher.parameterCount() + options.teacher.head.weight.size);
  const total = weights + gradients + optimizer + activations + program + (teacher ?? 0);
  return { weights, gradients, optimizer, activations, ...(teacher && { teacher }), program, total };
}

/** Where everything else is on a device: the weights, while they are read and copied there. */
export function besideDevice(model: CausalLM): MemoryEstimate {
  const weights = 4 * model.parameterCount();
  const program = programBytes(1);
  const others = { gradients: 0, optimizer: 0, activations: 0 };
  return { weights, ...others, program, total: weights + program };
}

function programBytes(ranks: number): number {
  return PROGRAM + (ranks > 1 ? COMMUNICATION : 0);
}

/** Where every rank has slices of everything: those, and what a rank holds of a stage while it runs. */
function estimateSharded(
  model: CausalLM,
  shape: SequenceShape,
  options: MemoryOptions,
  ranks: number,
): MemoryEstimate {
  const { trains, stateBytes } = options;
  const all = [...model.parameters()].map(([path, { size, shape: dims }]) => ({ path, size, dims }));
  const count = (list: readonly { readonly size: number }[]) => list.reduce((sum, { size }) => sum + size, 0);
  const trained = all.filter(({ path }) => trains(path));
  const [first, ...rest] = modelPieces(model, shape) as [Piece, ...Piece[]];
  const tokens = shape.batch * shape.seq;
  const table = compactEmbedding(first, tokens)?.table.path ?? '';
  const stages = stageWeights([first, ...rest], table);
  const most = Math.max(...stages.map(count));
  const mostTrained = Math.max(...stages.map((stage) => count(stage.filter(({ path }) => trains(path)))));
  const [vocabSize, width] = model.head.weight.shape as [number, number];
  const chunk = shardedChunk(tokens, width, vocabSize);
  const tables = count(trained.filter(({ path }) => tablesOf(model, table).has(path)));
  // Two stages and two chunks of the head: one in use, one on its way.
  const weights = 4 * (count(all) / ranks + 2 * most + 2 * chunk * width);
  const chunkGradients = trains(model.head.weight.path) ? 2 * chunk * width : 0;
  const gradients = 4 * (2 * mostTrained + mostTrained / ranks + tables / ranks + chunkGradients);
  const optimizer = trained.reduce((sum, { dims }) => sum + stateBytes(dims), 0) / ranks;
  // The rows that the tokens read, their gradients, and both on their way.
  const activations = blockActivations(model, shape, options, chunk) + 4 * 4 * tokens * width;
  const program = programBytes(ranks);
  const total = weights + gradients + optimizer + activations + program;
  return { weights, gradients, optimizer, activations, program, total };
}

/** The gradients of one stage at a time, or of two (one of which is added up over the ranks), plus those that several stages share for longer. */
function largestStage(
  model: CausalLM,
  shape: SequenceShape,
  trains: (path: string) => boolean,
  stagesAtATime: number,
): number {
  const { weight, bias } = model.head;
  const head = [weight, ...(bias ? [bias] : [])].map(({ path, size }) => ({ path, size }));
  const stages = [
    ...modelPieces(model, shape).map(({ parameters }) =>
      parameters.map(({ path, shape: dims }) => ({ path, size: sizeOf(dims) })),
    ),
    head,
  ].map((stage) => stage.filter(({ path }) => trains(path)));
  const places = new Map<string, number>();
  for (const { path } of stages.flat()) places.set(path, (places.get(path) ?? 0) + 1);
  const several = new Map(
    stages
      .flat()
      .filter(({ path }) => places.get(path)! > 1)
      .map(({ path, size }) => [path, size]),
  );
  const own = stages.map((stage) =>
    stage.filter(({ path }) => !several.has(path)).reduce((sum, { size }) => sum + size, 0),
  );
  return (
    4 * (stagesAtATime * Math.max(0, ...own) + [...several.values()].reduce((sum, size) => sum + size, 0))
  );
}

function blockActivations(
  model: CausalLM,
  shape: SequenceShape,
  { memory, trains, loss = crossEntropy }: MemoryOptions,
  headChunk?: number,
): number {
  const pieces = modelPieces(model, shape);
  const [rows, width] = pieces[0]!.y.shape as [number, number];
  let kept = 0;
  let peak = 0;
  for (const piece of pieces.slice(1)) {
    const names = piece.parameters.filter(({ path }) => trains(path)).map(({ name }) => name);
    const bytes = stageBytes(piece, names, memory === 'fast');
    kept += bytes.kept;
    peak = Math.max(peak, bytes.peak);
  }
  // The input of each block, the output of the final norm, and the gradients between blocks.
  const between = 4 * rows * width * (pieces.length + 2);
  return between + kept + Math.max(peak, headBytes(model, rows, width, memory, loss, headChunk));
}

function stageBytes(piece: Piece, names: readonly string[], keeps: boolean): { kept: number; peak: number } {
  if (!keeps) return { kept: 0, peak: peakBytes([...backwardGraph(piece, names, true).values()]) };
  const { forward, backward, kept } = keepingGraphs(piece, names, true, 'onnxruntime');
  const bytes = kept.reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
  return { kept: bytes, peak: Math.max(peakBytes([...forward.values()]), peakBytes([...backward.values()])) };
}

/** Logits of a chunk and their gradients; or those of the whole vocabulary, if few enough to keep. */
function headBytes(
  model: CausalLM,
  rows: number,
  width: number,
  memory: MemoryMode,
  loss: Loss,
  given?: number,
): number {
  const vocabSize = model.head.weight.shape[0]!;
  const chunk = given ?? vocabularyChunk(rows, vocabSize);
  if (given === undefined && (loss !== crossEntropy || chunk >= vocabSize)) {
    const hidden = input('hidden', 'float32', [rows, width]);
    return 2 * peakBytes([loss(lossInputs(model, hidden, rows)).loss]);
  }
  const all = 4 * rows * vocabSize;
  return 3 * 4 * rows * chunk + (memory === 'fast' && all <= 256 * 2 ** 20 ? all : 0);
}

/** Peak bytes while outputs are computed in order, without inputs and outputs. */
function peakBytes(outputs: readonly Tensor[]): number {
  let [live, peak] = [0, 0];
  for (const bytes of allocations(outputs, 'onnxruntime')) {
    live += bytes;
    peak = Math.max(peak, live);
  }
  return peak;
}

/** The buffers that a device holds while outputs are computed: by size, how many of it at once. */
export function buffersAtOnce(outputs: readonly Tensor[]): Map<number, number> {
  const live = new Map<number, number>();
  const most = new Map<number, number>();
  for (const bytes of allocations(outputs, 'webgpu')) {
    const size = Math.abs(bytes);
    const count = (live.get(size) ?? 0) + Math.sign(bytes);
    live.set(size, count);
    most.set(size, Math.max(most.get(size) ?? 0, count));
  }
  return most;
}

/** The bytes of each tensor when it is computed, and minus them when nothing needs it anymore; without inputs and outputs. */
function* allocations(outputs: readonly Tensor[], dialect: Dialect): Generator<number> {
  const roots = simplify(outputs, dialect);
  const order = topologicalOrder(roots);
  const last = new Map<Tensor, number>();
  order.forEach((node, at) => {
    for (const tensor of node.inputs) last.set(ownerOf(tensor), at);
  });
  const lasting = new Set(roots.map(ownerOf));
  const ends = new Map<number, Tensor[]>();
  for (const [tensor, at] of last) ends.set(at, [...(ends.get(at) ?? []), tensor]);
  for (const [at, node] of order.entries()) {
    if (!isStored(node)) for (const tensor of node.outputs) if (counts(tensor)) yield bytesOf(tensor);
    for (const tensor of ends.get(at) ?? []) {
      if (!isStored(tensor.node) && counts(tensor)) yield -bytesOf(tensor);
    }
  }

  function counts(tensor: Tensor): boolean {
    return !lasting.has(tensor) && last.has(tensor);
  }
}

/** Reshaping does not copy: the tensor that holds the data. */
function ownerOf(tensor: Tensor): Tensor {
  let owner = tensor;
  while (isNodeOf(owner.node, reshapeOp)) owner = owner.node.inputs[0]!;
  return owner;
}

/** Whether a node's outputs need no memory here: fed, part of the graph, or a view of another tensor. */
function isStored(node: Node): boolean {
  return node.inputs.length === 0 || isNodeOf(node, reshapeOp);
}

function bytesOf({ dtype, shape }: Tensor): number {
  const size = { float32: 4, int32: 4, int64: 8, bool: 1 }[dtype];
  return size * sizeOf(shape as readonly number[]);
}
