import { RopewalkError } from '../errors.ts';
import { cutGraph, type GraphPart } from '../graph/cut.ts';
import { shapeText, sizeOf } from '../graph/dims.ts';
import { add, addOp, type InputAttributes, scatterRowsOp } from '../graph/operators/index.ts';
import { isNodeOf, type Tensor } from '../graph/tensor.ts';
import { addRows } from '../kernels/kernels.ts';
import { type EmittedModel, emitModel } from '../onnx/emit.ts';
import { type HostLookup, prepareInference } from '../onnx/inference.ts';
import type { LayoutCache } from '../onnx/layout-cache.ts';
import { readIntoMemory, type WeightSource } from '../onnx/weights.ts';
import { ChainedSession } from './chained-session.ts';
import type { Binding, DeviceTensor, DeviceTensors } from './device.ts';
import {
  type AssignedNodes,
  createSessions,
  dialectOf,
  type Engine,
  type EngineSession,
  type EngineTensor,
  type SessionSettings,
} from './engine.ts';
import { needHalf, writesHalf } from './half.ts';
import { partsOf, weightBytes } from './parts.ts';

/** The values that a run takes and returns. Integers are Int32Array for int32 inputs and BigInt64Array for int64. */
export type HostArray = Float32Array | Int32Array | BigInt64Array;

export interface HostTensor {
  readonly data: HostArray;
  readonly shape: readonly number[];
}

/** Rows added into an output on the host after the run: the derivative of an embedding. */
interface RowAddition {
  readonly ids: string;
  readonly rows: string;
}

interface OutputPlan {
  readonly dense: string | undefined;
  readonly additions: readonly RowAddition[];
  readonly shape: Tensor['shape'];
}

export interface CompileOptions extends SessionSettings {
  readonly weights?: ReadonlyMap<string, WeightSource>;
  /** Keeps weights between starts that the engine takes one by one. */
  readonly layouts?: LayoutCache | undefined;
}

/** A graph compiled for an engine. */
export class Executable {
  readonly #engine: Engine;
  readonly #session: EngineSession;
  readonly #plans: ReadonlyMap<string, OutputPlan>;
  readonly #lookups: readonly HostLookup[];
  /** Bytes of host arrays that runs took and returned: for a session on a device, what crosses to it and back. */
  readonly traffic = { written: 0, read: 0 };

  private constructor(
    engine: Engine,
    session: EngineSession,
    plans: ReadonlyMap<string, OutputPlan>,
    readonly inputs: ReadonlyMap<string, InputAttributes>,
    /** Bytes of the ONNX model, including weights inside it. */
    readonly modelBytes: number,
    lookups: readonly HostLookup[],
  ) {
    this.#engine = engine;
    this.#session = session;
    this.#plans = plans;
    this.#lookups = lookups;
  }

  /** @param outputs the results of a run, by name. */
  static async compile(engine: Engine, outputs: ReadonlyMap<string, Tensor>, options: CompileOptions = {}) {
    const { weights: _, layouts, ...settings } = options;
    const { models, provide, plans, lookups } = await emit(engine, outputs, options);
    const hasProvided = models.some(({ model }) => model.provided.length > 0);
    const sessions = await createSessions(
      engine,
      models.map(({ model }) => model),
      {
        ...settings,
        // Threads of one part that spin would keep the processors from the next part.
        ...(models.length > 1 && { spinsBetweenRuns: false }),
        ...(provide && hasProvided && { weightsFolder: provide.folder }),
      },
      hasProvided ? layouts : undefined,
    );
    const session = models.length === 1 ? sessions[0]! : chained(models, sessions);
    const inputs = new Map(
      models.flatMap(({ model, taken }) => [...model.inputs].filter(([name]) => !taken.has(name))),
    );
    const bytes = models.reduce((sum, { model }) => sum + model.bytes.byteLength, 0);
    return new Executable(engine, session, plans, inputs, bytes, lookups);
  }

  /**
   * Keeps the weights as {@link compile} would, without compiling anything: only one weight at a time is in memory.
   *
   * @returns whether they are kept.
   */
  static async keepWeights(
    engine: Engine,
    outputs: ReadonlyMap<string, Tensor>,
    options: CompileOptions & { readonly layouts: LayoutCache },
  ): Promise<boolean> {
    if (!engine.layouts) return false;
    const { models } = await emit(engine, outputs, options);
    const provided = models.flatMap(({ model }) => model.provided);
    const layout = await options.layouts.obtain(provided, engine.layouts);
    await layout?.close();
    return layout !== undefined;
  }

  /**
   * Runs the graph.
   *
   * @param feeds a value for every name in {@link inputs}; arrays are not copied.
   * @param into arrays, or tensors on the device, to write outputs into; other outputs get new arrays. If the graph
   *   does not fix an output's size, pass its shape too.
   * @returns the outputs that are not on the device.
   */
  async run(
    feeds: Readonly<Record<string, HostTensor | DeviceTensor>>,
    into: Readonly<Record<string, Float32Array | HostTensor | DeviceTensor>> = {},
  ): Promise<Record<string, HostTensor>> {
    const fed: Record<string, EngineTensor> = {};
    for (const [name, attributes] of this.inputs) {
      const lookup = this.#lookups.find((each) => each.input === name);
      const feed = lookup ? lookUp(lookup, feeds[lookup.ids]) : feeds[name];
      fed[name] = this.#toEngine(name, attributes, feed);
    }
    const fetches: Record<string, EngineTensor | null> = {};
    for (const [name, plan] of this.#plans) {
      if (plan.dense !== undefined) {
        fetches[plan.dense] = this.#target(plan, into[name]);
      }
      for (const { ids, rows } of plan.additions) {
        fetches[ids] = null;
        fetches[rows] = null;
      }
    }
    const results = await this.#session.run(fed, fetches);
    const outputs: Record<string, HostTensor> = {};
    for (const [name, plan] of this.#plans) {
      const target = into[name];
      if (target && 'dtype' in target) continue;
      const array = target && 'data' in target ? (target.data as Float32Array) : target;
      outputs[name] = collect(plan, results, array, plan.dense !== undefined && fetches[plan.dense] !== null);
    }
    for (const { data, device } of Object.values(fed))
      if (!device) this.traffic.written += (data as HostArray).byteLength;
    for (const { data } of Object.values(outputs)) this.traffic.read += data.byteLength;
    return outputs;
  }

  /**
   * Binds the graph to tensors on the engine's device, where it then runs without the host.
   *
   * @param inputs a tensor for every name in {@link inputs}.
   * @param outputs a tensor for every output, which none of the inputs may share memory with.
   */
  bind(inputs: DeviceTensors, outputs: DeviceTensors): Binding {
    if (!this.#session.bind) throw new RopewalkError('this engine keeps no values on a device.');
    for (const [name, { dtype, shape }] of this.inputs) {
      const given = inputs[name];
      if (!given) throw new RopewalkError(`the graph's input ${name} was not given.`);
      const fits = fitsShape(given.shape, shape);
      if (given.dtype !== dtype || !fits) {
        throw new RopewalkError(
          `the graph's input ${name} is ${dtype} ${shapeText(shape)}, but got ${given.dtype} ${shapeText(given.shape)}.`,
        );
      }
    }
    for (const name of this.#plans.keys())
      if (!outputs[name]) throw new RopewalkError(`the graph's output ${name} was not given.`);
    return this.#session.bind(
      Object.fromEntries([...this.inputs.keys()].map((name) => [name, inputs[name]!])),
      Object.fromEntries([...this.#plans.keys()].map((name) => [name, outputs[name]!])),
    );
  }

  /** Frees the engine's memory. Nothing can be run afterwards. */
  async release(): Promise<void> {
    await this.#session.release();
  }

  /**
   * Which provider runs how many nodes, by operator, for a graph compiled with `recordsNodes`: ONNX Runtime runs on its
   * CPU kernels what a device's provider does not take.
   */
  assignedNodes(): AssignedNodes {
    const { assignedNodes } = this.#session;
    if (!assignedNodes)
      throw new RopewalkError(`${this.#engine.name} does not tell which provider runs a node.`);
    return assignedNodes.call(this.#session);
  }

  /** Ends ONNX Runtime's profile of this graph and writes its file; see `SessionSettings.profile`. */
  endProfiling(): void {
    this.#session.endProfiling();
  }

  /** Where the engine writes an output, if the caller passed an array and the size is known beforehand. */
  #target(plan: OutputPlan, into: Float32Array | HostTensor | DeviceTensor | undefined): EngineTensor | null {
    if (!into || !this.#engine.writesOutputs) return null;
    if ('dtype' in into) return onDevice(into);
    const { Tensor } = this.#engine.runtime;
    if ('data' in into) return new Tensor('float32', into.data as Float32Array, into.shape);
    const fixed = plan.shape.every((dim) => typeof dim === 'number');
    return fixed ? new Tensor('float32', into, plan.shape as number[]) : null;
  }

  #toEngine(
    name: string,
    attributes: InputAttributes,
    feed: HostTensor | DeviceTensor | undefined,
  ): EngineTensor {
    if (!feed) throw new RopewalkError(`the graph's input ${name} was not given.`);
    const { shape } = feed;
    if (!fitsShape(shape, attributes.shape)) {
      throw new RopewalkError(
        `the graph's input ${name} has shape ${shapeText(shape)}, but ${shapeText(attributes.shape)} is needed.`,
      );
    }
    if ('dtype' in feed) {
      if (feed.dtype === attributes.dtype) return onDevice(feed);
      throw new RopewalkError(
        `the graph's input ${name} is ${attributes.dtype}, but got ${feed.dtype} on the device.`,
      );
    }
    const { data } = feed;
    const { Tensor } = this.#engine.runtime;
    if (attributes.dtype === 'float32' && data instanceof Float32Array)
      return new Tensor('float32', data, shape);
    if (attributes.dtype === 'int32' && data instanceof Int32Array) return new Tensor('int32', data, shape);
    if (attributes.dtype === 'int64' && data instanceof BigInt64Array)
      return new Tensor('int64', data, shape);
    throw new RopewalkError(
      `the graph's input ${name} is ${attributes.dtype}, but got a ${data.constructor.name}.`,
    );
  }
}

/** Whether a value of this shape fits an input, whose named sizes fit any. */
function fitsShape(given: readonly number[], wanted: InputAttributes['shape']): boolean {
  return (
    given.length === wanted.length &&
    given.every((size, axis) => typeof wanted[axis] !== 'number' || wanted[axis] === size)
  );
}

function onDevice(device: DeviceTensor): EngineTensor {
  return { type: device.dtype, data: undefined, dims: device.shape, device };
}

interface EmittedPart extends Pick<GraphPart, 'taken'> {
  readonly model: EmittedModel;
}

/** The models that the sessions are made of. */
async function emit(engine: Engine, outputs: ReadonlyMap<string, Tensor>, options: CompileOptions) {
  const { weights = new Map<string, WeightSource>(), layouts: _, ...settings } = options;
  const { plans, sessionOutputs } = planOutputs(outputs, dialectOf(engine) === 'webgpu');
  if (writesHalf(engine) && weights.size > 0) await needHalf(engine);
  const precision = writesHalf(engine) ? 'float16' : 'float32';
  const prepared = prepareInference([...sessionOutputs.values()], weights, precision);
  const roots = new Map([...sessionOutputs.keys()].map((name, i) => [name, prepared.outputs[i]!]));
  const provide = engine.takesWeights && providedFrom(engine.takesWeights, prepared.weights, settings);
  const sources = provide ? prepared.weights : await readIntoMemory(prepared.weights);
  const sizeOf = (tensor: Tensor) => weightBytes(tensor, sources);
  const count = engine.runtime.InferenceSession.createAll ? countOf() : 1;
  const models = cutGraph(roots, sizeOf, count).map(({ outputs, taken }) => ({
    model: emitModel(outputs, { dialect: dialectOf(engine), weights: sources, provide }),
    taken,
  }));
  return { models, provide, plans, lookups: prepared.lookups };

  function countOf(): number {
    const { parts, profile } = { ...engine.defaults, ...settings };
    // A profile is that of one session.
    if (weights.size === 0 || profile !== undefined) return 1;
    return parts ?? partsOf([...roots.values()], sizeOf);
  }
}

/** One session of several, in their order. */
function chained(models: readonly EmittedPart[], sessions: readonly EngineSession[]): EngineSession {
  return new ChainedSession(
    models.map(({ model }, i) => ({
      session: sessions[i]!,
      inputs: new Set(model.inputs.keys()),
      outputs: new Set(model.outputs),
    })),
  );
}

/** A file in the session's weights folder, for provided weights: one of the weights' own files if there are any. */
function providedFrom(
  known: NonNullable<Engine['takesWeights']>,
  weights: ReadonlyMap<string, WeightSource>,
  { weightsFolder }: SessionSettings,
): NonNullable<Engine['takesWeights']> {
  if (weightsFolder === undefined) return known;
  for (const source of weights.values())
    if ('file' in source) return { folder: weightsFolder, file: source.file.location };
  return known;
}

/** The rows of an embedding for the ids of a run: `[…ids, width]`. */
function lookUp(
  { ids: name, rows, input }: HostLookup,
  ids: HostTensor | DeviceTensor | undefined,
): HostTensor {
  if (!ids || 'dtype' in ids)
    throw new RopewalkError(`the graph's input ${name}, which indexes ${input}, was not given.`);
  const data = new Float32Array(ids.data.length * rows.width);
  for (let i = 0; i < ids.data.length; i++) rows.read(Number(ids.data[i]), data, i * rows.width);
  return { data, shape: [...ids.shape, rows.width] };
}

/**
 * Splits outputs into those that the engine computes and those that the host adds afterwards.
 *
 * @param whole whether the engine computes all of them.
 */
function planOutputs(outputs: ReadonlyMap<string, Tensor>, whole: boolean) {
  const plans = new Map<string, OutputPlan>();
  const sessionOutputs = new Map<string, Tensor>();
  for (const [name, tensor] of outputs) {
    const { dense, sparse } = whole ? { dense: tensor, sparse: [] } : splitSum(tensor);
    if (dense) sessionOutputs.set(name, dense);
    const additions = sparse.map((scatter, i) => {
      const addition = { ids: `${name}#ids${i}`, rows: `${name}#rows${i}` };
      sessionOutputs.set(addition.ids, scatter.node.inputs[0]!);
      sessionOutputs.set(addition.rows, scatter.node.inputs[1]!);
      return addition;
    });
    plans.set(name, { dense: dense ? name : undefined, additions, shape: tensor.shape });
  }
  return { plans, sessionOutputs };
}

/** A sum split into the part that the engine computes and the row additions (`scatterRows`) that the host does. */
export function splitSum(tensor: Tensor): { dense: Tensor | undefined; sparse: Tensor[] } {
  if (isNodeOf(tensor.node, scatterRowsOp)) return { dense: undefined, sparse: [tensor] };
  if (isNodeOf(tensor.node, addOp)) {
    const parts = tensor.node.inputs.map(splitSum);
    const sparse = parts.flatMap((part) => part.sparse);
    if (sparse.length > 0) {
      const dense = parts.flatMap((part) => (part.dense ? [part.dense] : []));
      return { dense: dense.length > 1 ? add(dense[0]!, dense[1]!) : dense[0], sparse };
    }
  }
  return { dense: tensor, sparse: [] };
}

function collect(
  plan: OutputPlan,
  results: Record<string, EngineTensor>,
  target: Float32Array | undefined,
  written: boolean,
): HostTensor {
  const dense = plan.dense === undefined ? undefined : results[plan.dense]!;
  if (target && dense && !written) target.set(dense.data as Float32Array);
  if (plan.additions.length === 0) {
    return { data: target ?? (dense!.data as HostArray), shape: dense!.dims };
  }
  const shape = plan.shape as number[];
  if (target && !dense) target.fill(0);
  const data = target ?? (dense?.data as Float32Array | undefined) ?? new Float32Array(sizeOf(shape));
  for (const { ids, rows } of plan.additions) {
    const width = shape[1]!;
    addRows(data, toInt32(results[ids]!.data), results[rows]!.data as Float32Array, width);
  }
  return { data, shape };
}

function toInt32(ids: unknown): Int32Array {
  return ids instanceof Int32Array ? ids : Int32Array.from(ids as BigInt64Array, Number);
}
