import { RopewalkError } from '../../errors.ts';
import type { CausalLM } from '../../families/family.ts';
import { differentiate } from '../../graph/differentiate.ts';
import { shapeText, sizeOf } from '../../graph/dims.ts';
import { input, linear, linearCrossEntropy, softcap } from '../../graph/operators/index.ts';
import type { Tensor } from '../../graph/tensor.ts';
import { FullSequence } from '../../nn/attention.ts';
import type { Taps } from '../../nn/taps.ts';
import type { WeightSource } from '../../onnx/weights.ts';
import type { Engine, SessionSettings } from '../../runtime/engine.ts';
import { Executable, type HostTensor } from '../../runtime/executable.ts';
import { checkIds, checkPositions } from '../decoder.ts';

/** A value of a model: row-major float32. */
export interface TapValue {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export interface TapOptions {
  /** Names of values to return; `*` matches any layer: `layers.*.attention.scores`. `Taps` lists all names. */
  readonly taps?: readonly string[];
  /** Names of values whose gradients are returned: those of the mean loss, in nats, of next-token prediction. */
  readonly gradients?: readonly string[];
  /** Replacements for the model's own values, by name; the shapes must agree. */
  readonly replace?: Readonly<Record<string, TapValue>>;
  /** Positions of the tokens instead of 0, 1, 2 …, each below the number of tokens. Masks still follow row order. */
  readonly positions?: ArrayLike<number>;
  /** The number of sequences of equal length, concatenated in the ids. Default 1. */
  readonly batch?: number;
}

export interface TapResult {
  /** `[tokens, vocab]`, including the final cap. */
  readonly logits: TapValue;
  readonly values: Readonly<Record<string, TapValue>>;
  readonly gradients: Readonly<Record<string, TapValue>>;
  /** The loss of the gradients; only if gradients are requested. */
  readonly loss?: number;
}

/**
 * The number of compiled graphs that are kept, so that changing a word of a text need not recompile; each may hold a
 * copy of the weights, so for larger models only the last is kept.
 */
const KEPT = 8;
const KEPT_BELOW = 20e6;

/** Runs a model over whole sequences and returns, or replaces, any of its named values. */
export class TapRunner {
  readonly #engine: Engine;
  readonly #model: CausalLM;
  readonly #weights: ReadonlyMap<string, WeightSource>;
  readonly #settings: SessionSettings;
  readonly #graphs = new Map<string, { readonly shape: Recorded; readonly executable: Executable }>();

  /** @param weights every parameter by its path, in float32. */
  constructor(
    engine: Engine,
    model: CausalLM,
    weights: ReadonlyMap<string, WeightSource>,
    settings: SessionSettings = {},
  ) {
    this.#engine = engine;
    this.#model = model;
    this.#weights = weights;
    this.#settings = settings;
  }

  /**
   * @param ids at least one token id; `batch` sequences of equal length, concatenated.
   * @throws RopewalkError for a name that the model does not have (listing those that it has), a replacement of
   *   another shape, ids outside the vocabulary, and more tokens than the model has positions.
   */
  async run(ids: ArrayLike<number>, options: TapOptions = {}): Promise<TapResult> {
    const { replace = {}, gradients = [], batch = 1, positions } = options;
    const time = ids.length / batch;
    if (ids.length === 0 || !Number.isInteger(time)) {
      throw new RopewalkError(
        `${ids.length} ids cannot be split into ${batch} sequence(s) of equal length, of at least one token each.`,
      );
    }
    checkIds(ids, this.#model.config.vocab_size);
    checkPositions(this.#model, time);
    if (positions) {
      if (positions.length !== ids.length) {
        throw new RopewalkError(`there are ${ids.length} ids, but ${positions.length} positions.`);
      }
      const wrong = Array.from(positions).find((at) => !Number.isInteger(at) || at < 0 || at >= time);
      if (wrong !== undefined) {
        throw new RopewalkError(`the position ${wrong} is not one of 0 to ${time - 1}.`);
      }
    }
    if (gradients.length > 0 && time < 2) {
      throw new RopewalkError('gradients need at least two tokens: the first predicts the second.');
    }
    const { shape, executable } = await this.#graph(batch, time, options);
    const feeds: Record<string, HostTensor> = {
      input_ids: { data: Int32Array.from(ids), shape: [ids.length] },
      ...(positions && {
        position_ids: { data: Int32Array.from(positions), shape: [ids.length] },
        segment_ids: { data: new Float32Array(ids.length), shape: [ids.length] },
      }),
      ...(gradients.length > 0 && nextTokens(ids, batch, time)),
    };
    for (const [name, value] of Object.entries(replace)) {
      const wanted = shape.replaced.get(name)!;
      if (value.data.length !== sizeOf(wanted) || wanted.join() !== value.shape.join()) {
        throw new RopewalkError(
          `the value "${name}" has the shape ${shapeText(wanted)}, but its replacement has ${shapeText(value.shape)}.`,
        );
      }
      feeds[`replace.${name}`] = { data: value.data, shape: [...value.shape] };
    }
    const results = await executable.run(feeds);
    const named = (prefix: string, names: readonly string[]) =>
      Object.fromEntries(names.map((name) => [name, asValue(results[`${prefix}${name}`]!)]));
    return {
      logits: asValue(results.logits!),
      values: named('tap.', shape.taps),
      gradients: named('grad.', shape.gradients),
      ...(results.loss && { loss: Number(results.loss.data[0]) }),
    };
  }

  /** Frees the engine's memory. The weights belong to the caller. */
  async release(): Promise<void> {
    for (const { executable } of this.#graphs.values()) await executable.release();
    this.#graphs.clear();
  }

  async #graph(batch: number, time: number, options: TapOptions) {
    const { taps = [], gradients = [], replace = {}, positions } = options;
    const key = JSON.stringify([batch, time, taps, gradients, Object.keys(replace), positions !== undefined]);
    const known = this.#graphs.get(key);
    if (known) {
      this.#graphs.delete(key);
      this.#graphs.set(key, known);
      return known;
    }
    const shape = record(this.#model, batch, time, options);
    const executable = await Executable.compile(this.#engine, shape.outputs, {
      ...this.#settings,
      weights: this.#weights,
    });
    this.#graphs.set(key, { shape, executable });
    const [oldest] = this.#graphs;
    const kept = this.#model.parameterCount() < KEPT_BELOW ? KEPT : 1;
    if (this.#graphs.size > kept && oldest) {
      this.#graphs.delete(oldest[0]);
      await oldest[1].executable.release();
    }
    return { shape, executable };
  }
}

interface Recorded {
  readonly outputs: Map<string, Tensor>;
  readonly taps: readonly string[];
  readonly gradients: readonly string[];
  /** Shapes of the replaced values. */
  readonly replaced: ReadonlyMap<string, readonly number[]>;
}

/** Records a model's graph with its taps. */
function record(model: CausalLM, batch: number, time: number, options: TapOptions): Recorded {
  const { taps = [], gradients = [], replace = {}, positions } = options;
  const rows = batch * time;
  const recorder = new TapRecorder([...taps, ...gradients], Object.keys(replace));
  const packing = positions && {
    positions: input('position_ids', 'int32', [rows]),
    segments: input('segment_ids', 'float32', [rows]),
  };
  const ids = input('input_ids', 'int32', [rows]);
  const hidden = model.hiddenStates(new FullSequence(ids, batch, time, undefined, packing, recorder));
  const { weight, bias, softcap: cap } = model.head;
  const raw = recorder.tap('logits_before_cap', linear(hidden, weight.tensor, bias?.tensor));
  const logits = recorder.tap('logits', cap === null ? raw : softcap(raw, cap));
  const outputs = new Map([['logits', logits]]);
  const wanted = recorder.named(taps);
  for (const name of wanted) outputs.set(`tap.${name}`, recorder.values.get(name)!);
  const sensitive = recorder.named(gradients);
  if (sensitive.length > 0) {
    const head = { weight: weight.tensor, bias: bias?.tensor, softcap: cap };
    const changed = ['logits_before_cap', 'logits'].find(
      (name) => name in replace || gradients.includes(name),
    );
    if (changed) {
      throw new RopewalkError(
        `"${changed}" comes after the point where the loss is computed; request gradients of "norm" or earlier values, without replacing it.`,
      );
    }
    const targets = input('targets', 'int32', [rows]);
    const weights = input('weights', 'float32', [rows]);
    const { loss } = linearCrossEntropy(hidden, head, targets, weights, rows);
    const found = differentiate(
      loss,
      sensitive.map((name) => recorder.values.get(name)!),
    );
    outputs.set('loss', loss);
    for (const [i, name] of sensitive.entries()) {
      if (found[i]) outputs.set(`grad.${name}`, found[i]);
      else throw new RopewalkError(`the loss does not depend on the value "${name}".`);
    }
  }
  for (const name of Object.keys(replace)) recorder.named([name]);
  return { outputs, taps: wanted, gradients: sensitive, replaced: recorder.replaced };
}

class TapRecorder implements Taps {
  readonly values = new Map<string, Tensor>();
  readonly replaced = new Map<string, readonly number[]>();
  readonly #offered = new Set<string>();
  readonly #wanted: readonly RegExp[];
  readonly #replace: ReadonlySet<string>;

  constructor(wanted: readonly string[], replace: readonly string[]) {
    this.#wanted = wanted.map(patternOf);
    this.#replace = new Set(replace);
  }

  wants(name: string): boolean {
    this.#offered.add(name);
    return this.#replace.has(name) || this.#wanted.some((pattern) => pattern.test(name));
  }

  tap(name: string, value: Tensor): Tensor {
    if (!this.wants(name)) return value;
    let result = value;
    if (this.#replace.has(name)) {
      const shape = value.shape as readonly number[];
      this.replaced.set(name, shape);
      result = input(`replace.${name}`, 'float32', shape);
    }
    this.values.set(name, result);
    return result;
  }

  /** The names that match patterns. @throws RopewalkError for a pattern that matches none. */
  named(patterns: readonly string[]): string[] {
    const names = new Set<string>();
    for (const pattern of patterns) {
      const matching = [...this.values.keys()].filter((name) => patternOf(pattern).test(name));
      if (matching.length === 0) {
        const offered = [...this.#offered].filter((name) => !/\.[1-9]\d*\./.test(name));
        throw new RopewalkError(
          `this model has no value "${pattern}"; it has ${offered.join(', ')}, and the same in its other layers.`,
        );
      }
      for (const name of matching) names.add(name);
    }
    return [...names];
  }
}

/** `*` matches any layer index. */
function patternOf(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('\\d+')}$`);
}

/** Each id is the target of the previous one; the last of a sequence has no target. */
function nextTokens(ids: ArrayLike<number>, batch: number, time: number): Record<string, HostTensor> {
  const rows = batch * time;
  const targets = new Int32Array(rows);
  const weights = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    if ((row + 1) % time === 0) continue;
    targets[row] = ids[row + 1]!;
    weights[row] = 1 / (rows - batch);
  }
  return { targets: { data: targets, shape: [rows] }, weights: { data: weights, shape: [rows] } };
}

function asValue({ data, shape }: HostTensor): TapValue {
  return { data: data as Float32Array, shape };
}
