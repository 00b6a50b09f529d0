import type { TrainingRows } from '../batches.ts';
import { RopewalkError } from '../errors.ts';
import type { CausalLM } from '../families/family.ts';
import { add, input, matmul, mul, scalar, softcap, softmax } from '../graph/operators/index.ts';
import type { WeightSource } from '../onnx/weights.ts';
import type { Engine, SessionSettings } from '../runtime/engine.ts';
import { Executable, type HostTensor } from '../runtime/executable.ts';
import { contextFeeds } from '../training/feeds.ts';
import { type SequenceShape, sequenceContext } from '../training/graph.ts';
import { headChunk } from '../training/loss.ts';
import { TEACHER_INPUTS, type TeacherHead } from './losses.ts';

/** A teacher's weights. */
export interface TeacherWeights {
  /** By path, for the pass through the layers. */
  readonly weights: ReadonlyMap<string, WeightSource>;
  /** The head in float32: weight `[vocab, width]`, bias `[vocab]`. */
  readonly head: { readonly weight: Float32Array; readonly bias?: Float32Array };
}

/**
 * A large model that a small one learns from: computes its final activations for whole rows, and probabilities from
 * them. The logits of all rows never exist at the same time.
 */
export class Teacher {
  readonly #heads = new Map<string, Promise<Executable>>();

  readonly #engine: Engine;
  readonly #settings: SessionSettings;
  readonly #body: Executable;
  readonly #headWeights: TeacherWeights['head'];

  private constructor(
    readonly model: CausalLM,
    readonly shape: SequenceShape,
    engine: Engine,
    settings: SessionSettings,
    body: Executable,
    headWeights: TeacherWeights['head'],
  ) {
    this.#engine = engine;
    this.#settings = settings;
    this.#body = body;
    this.#headWeights = headWeights;
  }

  /**
   * @param shape number and length of the rows per call.
   * @throws RopewalkError if rows exceed the model's positions.
   */
  static async create(
    engine: Engine,
    model: CausalLM,
    shape: SequenceShape,
    { weights, head }: TeacherWeights,
    settings: SessionSettings = {},
  ): Promise<Teacher> {
    if (shape.seq > model.maxPositions) {
      throw new RopewalkError(
        `the sequence length ${shape.seq} is longer than the teacher's ${model.maxPositions} positions; choose a smaller one.`,
      );
    }
    const outputs = new Map([['hidden', model.hiddenStates(sequenceContext(shape))]]);
    const body = await Executable.compile(engine, outputs, { ...settings, weights });
    return new Teacher(model, shape, engine, settings, body, head);
  }

  get vocabSize(): number {
    return this.model.head.weight.shape[0]!;
  }

  /** For `onlineLoss`. */
  get head(): TeacherHead {
    const { weight, bias, softcap } = this.model.head;
    return { width: weight.shape[1]!, softcap, bias: bias !== undefined };
  }

  /** The final, normalized activations `[batch · seq, width]`. */
  async hiddenStates(rows: TrainingRows): Promise<Float32Array> {
    const { hidden } = await this.#body.run(contextFeeds(rows, this.shape));
    return hidden!.data as Float32Array;
  }

  /**
   * The same rows with the inputs that the online loss needs from this teacher.
   *
   * @param vocabSize the student's vocabulary size; further entries of the teacher are dropped.
   */
  async teach<R extends TrainingRows>(rows: R, vocabSize: number): Promise<R> {
    const data = await this.hiddenStates(rows);
    const { width } = this.head;
    const { weight, bias } = this.#headWeights;
    const extra: Record<string, { data: Float32Array; shape: readonly number[] }> = {
      [TEACHER_INPUTS.hidden]: { data, shape: [rows.inputs.length, width] },
      [TEACHER_INPUTS.weight]: { data: weight.subarray(0, vocabSize * width), shape: [vocabSize, width] },
    };
    if (bias) extra[TEACHER_INPUTS.bias] = { data: bias.subarray(0, vocabSize), shape: [vocabSize] };
    return { ...rows, extra: { ...rows.extra, ...extra } };
  }

  /**
   * softmax(logits / temperature) of rows of activations `[rows, width]`, a few rows at a time: each piece is `[rows,
   * vocab]` and is valid until the next one is requested.
   */
  async *probabilities(
    hidden: Float32Array,
    temperature: number,
  ): AsyncGenerator<{ readonly start: number; readonly rows: number; readonly data: Float32Array }, void> {
    const { vocabSize } = this;
    const { width, bias } = this.head;
    const all = hidden.length / width;
    const chunk = headChunk(all, vocabSize);
    for (let start = 0; start < all; start += chunk) {
      const rows = Math.min(chunk, all - start);
      const feeds: Record<string, HostTensor> = {
        hidden: { data: hidden.subarray(start * width, (start + rows) * width), shape: [rows, width] },
        weight: { data: this.#headWeights.weight, shape: [vocabSize, width] },
      };
      if (bias) feeds.bias = { data: this.#headWeights.bias!, shape: [vocabSize] };
      const { probabilities } = await (await this.#headPass(rows, temperature)).run(feeds);
      yield { start, rows, data: probabilities!.data as Float32Array };
    }
  }

  /** Frees the engine's memory; the teacher cannot be used afterwards. */
  async release(): Promise<void> {
    await this.#body.release();
    for (const head of this.#heads.values()) await (await head).release();
  }

  #headPass(rows: number, temperature: number): Promise<Executable> {
    const key = `${rows} ${temperature}`;
    const known = this.#heads.get(key);
    if (known) return known;
    const { vocabSize } = this;
    const { width, bias, softcap: cap } = this.head;
    const hidden = input('hidden', 'float32', [rows, width]);
    let logits = matmul(hidden, input('weight', 'float32', [vocabSize, width]), { transB: true });
    if (bias) logits = add(logits, input('bias', 'float32', [vocabSize]));
    if (cap !== null) logits = softcap(logits, cap);
    if (temperature !== 1) logits = mul(logits, scalar(1 / temperature));
    const outputs = new Map([['probabilities', softmax(logits)]]);
    const pass = Executable.compile(this.#engine, outputs, this.#settings);
    this.#heads.set(key, pass);
    return pass;
  }
}
