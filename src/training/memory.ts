import type { CausalLM } from '../families/family.ts';
import { sizeOf } from '../graph/dims.ts';
import { input } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { emitModel } from '../onnx/emit.ts';
import type { Precision } from '../runtime/devices.ts';
import { backwardGraph, forwardGraph, keepingGraphs, modelPieces, type Piece } from './blocks/block-graph.ts';
import { KEPT_BYTES, vocabularyChunk } from './blocks/block-head-chunks.ts';
import { rowsAtATime } from './blocks/block-head-rows.ts';
import { type ChunkParts, chunkGradientGraph, chunkLossGraph } from './blocks/head-chunk-graphs.ts';
import { rowsGradientGraph } from './blocks/head-rows-graph.ts';
import { type MemoryMode, usesWholeGraph } from './create-learner.ts';
import { lossInputs, type SequenceShape, trainingGraph } from './graph.ts';
import { crossEntropy, type Loss } from './loss.ts';
import {
  type DeviceEstimate,
  type DeviceEstimateOptions,
  estimateOnDevice,
} from './on-device/device-estimate.ts';
import type { Shard } from './parallel/shard.ts';
import { peakBytes } from './peak-bytes.ts';
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
  /** Set where weights, gradients and states are in the memory of a device. */
  readonly onDevice?: Pick<DeviceEstimateOptions, 'update' | 'limits' | 'wholeTables'> | undefined;
  /** Of the products there. Default float32. */
  readonly precision?: Precision | undefined;
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
  /** The memory of the device, if there is one; the rest is then what the host has. */
  readonly device?: DeviceEstimate;
}

/**
 * Node, the engine's library and its compiled graphs: 130 MB (`verify/ranks-memory.ts`), and 70 MB more where a model, its
 * tokenizer and data are read (`verify/finetune-memory.txt`).
 */
const PROGRAM = 200e6;

/** Open MPI, and the data of two calls in flight. */
const COMMUNICATION = 15e6;

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
  if (options.onDevice) {
    // The weights are in the host's memory once, while they are read or made.
    const weights = 4 * model.parameterCount();
    const program = programBytes(1);
    const device = estimateOnDevice(model, shape, { ...options, ...options.onDevice });
    const none = { gradients: 0, optimizer: 0, activations: 0 };
    return { weights, ...none, program, total: weights + program, device };
  }
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
  let all = 0;
  // Layers of a kind share their compiled passes.
  const kinds = new Map<string, StageBytes>();
  for (const piece of pieces.slice(1)) {
    const names = piece.parameters.filter(({ path }) => trains(path)).map(({ name }) => name);
    const { bytes: form } = emitModel(forwardGraph(piece), { dialect: 'onnxruntime' });
    const key = `${names.join()} ${new TextDecoder('latin1').decode(form)}`;
    let kind = kinds.get(key);
    if (!kind) {
      kind = stageBytes(piece, names, memory === 'fast');
      kinds.set(key, kind);
      all += kind.passes;
    }
    kept += kind.kept;
  }
  // The input of each block, the output of the final norm, and the gradients between blocks.
  const between = 4 * rows * width * (pieces.length + 2);
  return between + kept + all + headBytes({ model, rows, width, trains }, memory, loss, headChunk);
}

interface StageBytes {
  /** Between its passes. */
  readonly kept: number;
  /** The peaks of its passes: each keeps the memory of its own, since the engine gives nothing back between runs. */
  readonly passes: number;
}

function stageBytes(piece: Piece, names: readonly string[], keeps: boolean): StageBytes {
  if (!keeps) {
    const passes = [forwardGraph(piece), backwardGraph(piece, names, true)];
    return { kept: 0, passes: peaksOf(passes) };
  }
  const { forward, backward, kept } = keepingGraphs(piece, names, true, 'onnxruntime');
  return {
    kept: kept.reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0),
    passes: peaksOf([forward, backward]),
  };
}

/** Logits of some rows, or of a chunk in each pass, and what is computed of them; or those of the whole vocabulary, if few enough to keep. */
function headBytes(parts: ChunkParts, memory: MemoryMode, loss: Loss, given?: number): number {
  const { model, rows, width } = parts;
  const vocabSize = model.head.weight.shape[0]!;
  const chunk = given ?? vocabularyChunk(rows, vocabSize);
  if (given === undefined && (loss !== crossEntropy || chunk >= vocabSize)) {
    const hidden = input('hidden', 'float32', [rows, width]);
    return 2 * peakBytes([loss(lossInputs(model, hidden, rows)).loss]);
  }
  const all = 4 * rows * vocabSize;
  const keeps = memory === 'fast' && all <= KEPT_BYTES;
  if (given === undefined && !keeps) {
    const atATime = rowsAtATime(rows, vocabSize);
    // The engine's order holds the logits once more than ours (measured: verify/finetune-memory.txt).
    return peaksOf([rowsGradientGraph(parts, atATime)]) + 4 * atATime * vocabSize;
  }
  const last = vocabSize % chunk;
  const passes = [...new Set([chunk, ...(last > 0 ? [last] : [])])].flatMap((size) => [
    chunkLossGraph(parts, size, keeps),
    chunkGradientGraph(parts, size, keeps),
  ]);
  return peaksOf(passes) + (keeps ? all : 0);
}

function peaksOf(graphs: readonly ReadonlyMap<string, Tensor>[]): number {
  return graphs.reduce((sum, graph) => sum + peakBytes([...graph.values()]), 0);
}
