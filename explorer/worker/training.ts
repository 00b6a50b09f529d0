import { BatchSampler, evaluationBatches } from '../../src/batches.ts';
import { writeSafetensors } from '../../src/checkpoint/safetensors/writer.ts';
import { RopewalkError } from '../../src/errors.ts';
import type { CausalLM } from '../../src/families/family.ts';
import { initializeWeights } from '../../src/families/initialize.ts';
import { type BuiltModel, findPreset } from '../../src/families/registry.ts';
import { toConfigJson } from '../../src/files/json.ts';
import { memorySink } from '../../src/files/source.ts';
import { Decoder } from '../../src/generation/decoder.ts';
import { generateTokens } from '../../src/generation/generate.ts';
import { Random } from '../../src/random.ts';
import { DeviceError } from '../../src/runtime/device-errors.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { encodeCorpusAsync, splitCorpus } from '../../src/text/corpus.ts';
import { fitBigram, meanNegativeLogLikelihood } from '../../src/text/ngram.ts';
import { bpeTokenizerConfig, trainBpeAsync } from '../../src/tokenizer/bpe-trainer.ts';
import { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import type { Learner } from '../../src/training/learner.ts';
import { createLearnerOptimizer } from '../../src/training/learner-optimizer.ts';
import { DeviceLearner } from '../../src/training/on-device/device-learner.ts';
import type { Optimizer } from '../../src/training/optimizers/optimizer.ts';
import { Trainer, type TrainerState } from '../../src/training/trainer.ts';
import { WholeGraphLearner } from '../../src/training/whole-graph-learner.ts';
import type { SavedFile, TrainPhase } from './train-protocol.ts';

/** As in `npm start`: a small vocabulary and short windows give many steps in the time there is. */
const VOCAB = 512;
const SHAPE = { batch: 4, seq: 64 };
const HELD_OUT = 0.06;
/** Held-out tokens that are evaluated: enough to see where the loss goes. */
const EVALUATED = 6144;
/** Characters that the tokenizer is trained on: its words repeat. */
const TOKENIZER_CHARACTERS = 250_000;
const PROMPT_TOKENS = 8;
const SAMPLE_TOKENS = 60;

export interface PageCorpus {
  readonly tokenizer: Tokenizer;
  readonly training: Int32Array;
  readonly validation: Int32Array;
  /** Of an interpolated Kneser–Ney bigram on the held-out tokens, nats per token. */
  readonly bigram: number;
}

/** A text as tokens, and what a bigram makes of it. @throws RopewalkError for a text that is too short. */
export async function prepareText(text: string, onPhase: (phase: TrainPhase) => void): Promise<PageCorpus> {
  onPhase('tokenizer');
  const part = text.slice(0, TOKENIZER_CHARACTERS);
  const json = await trainBpeAsync([part], { vocabSize: VOCAB });
  const tokenizer = Tokenizer.fromJSON(json, bpeTokenizerConfig(json));
  onPhase('encoding');
  const ids = await encodeCorpusAsync(tokenizer, text);
  const least = 20 * SHAPE.seq;
  if (ids.length < least) {
    throw new RopewalkError(
      `the text has ${ids.length} tokens, and at least ${least} are needed; paste a longer one.`,
    );
  }
  const split = splitCorpus(ids, HELD_OUT);
  const validation = split.validation.subarray(0, EVALUATED);
  const bigram = meanNegativeLogLikelihood(fitBigram(split.training, tokenizer.vocabSize), validation);
  return { tokenizer, training: split.training, validation, bigram };
}

/** What a run can go on from, on any device. */
export interface KeptTraining {
  readonly step: number;
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** Undefined before the first step. */
  readonly state: TrainerState | undefined;
}

/** A model that learns, from random weights. */
export class PageTraining {
  readonly #engine: Engine;
  readonly #built: BuiltModel;
  readonly #corpus: PageCorpus;
  readonly #learner: Learner;
  readonly #optimizer: Optimizer;
  readonly trainer: Trainer;
  #kept: KeptTraining;

  private constructor(
    engine: Engine,
    built: BuiltModel,
    corpus: PageCorpus,
    learner: Learner,
    optimizer: Optimizer,
    steps: number,
    kept: KeptTraining,
  ) {
    this.#engine = engine;
    this.#built = built;
    this.#corpus = corpus;
    this.#learner = learner;
    this.#optimizer = optimizer;
    this.#kept = kept;
    const { training, validation } = corpus;
    const parts = {
      learner,
      training: new BatchSampler({ tokens: training, ...SHAPE, seed: 0 }),
      validation: () => evaluationBatches(validation, SHAPE.batch, SHAPE.seq),
      optimizer,
    };
    this.trainer = new Trainer(parts, {
      ...{ steps, accumulate: 1, lr: 2.5e-3, schedule: 'cosine', minLrRatio: 0.05 },
      ...{ warmup: Math.min(40, Math.floor(steps / 4)), clip: 1 },
      ...{ evalEvery: Math.max(25, Math.floor(steps / 12)), saveEvery: 0, evaluateFirst: true },
    });
    if (kept.state) this.trainer.restore(kept.state);
  }

  /**
   * @param engine where its device keeps values, the model learns there.
   * @param name of a preset, with parts that are exchanged behind a plus.
   * @param from what it goes on from.
   */
  static async create(
    engine: Engine,
    name: string,
    corpus: PageCorpus,
    steps: number,
    from?: KeptTraining,
  ): Promise<PageTraining> {
    const found = findPreset(name);
    if (!found) throw new RopewalkError(`there is no preset "${name}".`);
    const { family, preset } = found;
    const { tokenizer } = corpus;
    const config = {
      ...preset.config,
      vocab_size: tokenizer.vocabSize,
      bos_token_id: tokenizer.bosId ?? null,
      eos_token_id: tokenizer.eosId === undefined ? [] : [tokenizer.eosId],
    };
    const model = family.build(config);
    const kept = from ?? { step: 0, weights: initialWeights(model), state: undefined };
    const learner = engine.openMemory
      ? await DeviceLearner.create(engine, model, SHAPE, { gradients: 'kept', activations: 'kept' })
      : await WholeGraphLearner.create(engine, model, SHAPE);
    await learner.fill((values) => {
      for (const [path, data] of kept.weights) values.get(path)!.set(data);
    });
    const options = { beta1: 0.9, beta2: 0.95, weightDecay: 0.02 };
    const optimizer = await createLearnerOptimizer(engine, learner, 'adamw', options);
    return new PageTraining(engine, { family, config, model }, corpus, learner, optimizer, steps, kept);
  }

  /** Whether the weights are in the memory of a device, which may be lost. */
  get onDevice(): boolean {
    return this.#learner.onDevice !== undefined;
  }

  /** The newest state that can be gone on from. */
  get kept(): KeptTraining {
    return this.#kept;
  }

  /** Between steps: copies from the device what the run can go on from. */
  async keep(): Promise<void> {
    if (!this.onDevice) return;
    const state = await this.trainer.stateToSave();
    if (state.step === this.#kept.step) return;
    this.#kept = { step: state.step, weights: await this.#learner.values(), state };
  }

  /** Loss and gradient norm of the first rows, before the first step; nothing is changed. */
  async probe(): Promise<{ readonly loss: number; readonly gradientNorm: number }> {
    const rows = await new BatchSampler({ tokens: this.#corpus.training, ...SHAPE, seed: 0 }).next();
    const optimizer = this.#optimizer;
    return this.#learner.step([rows], { optimizer, learningRate: 0, clip: 0, accept: () => false });
  }

  /** What the model writes behind the beginning of the held-out text; computed on the processor. */
  async sample(seed: number): Promise<string> {
    const { tokenizer, validation } = this.#corpus;
    const values = await this.#learner.values();
    const weights = new Map([...values].map(([path, data]) => [path, { data }]));
    const engine = this.#engine.processor?.() ?? this.#engine;
    const decoder = await Decoder.create(engine, this.#built.model, weights);
    try {
      const ids = Array.from(validation.subarray(0, PROMPT_TOKENS));
      const options = { maxTokens: SAMPLE_TOKENS, temperature: 0.7, topP: 0.95, seed };
      for await (const id of generateTokens(decoder, ids.slice(), options, decoder.newCache())) ids.push(id);
      return tokenizer.decode(ids, { skipSpecialTokens: true });
    } finally {
      await decoder.release();
    }
  }

  /** The files of a Hugging Face directory. */
  async save(): Promise<SavedFile[]> {
    const { family, config, model } = this.#built;
    const values = await this.#currentWeights();
    const sink = memorySink();
    const tensors = [...model.parameters()].map(([name, { shape }]) => ({
      ...{ name, shape, dtype: 'F32' as const },
      data: values.get(name)!,
    }));
    await writeSafetensors(sink, tensors, { format: 'pt' });
    const tokenizer = this.#corpus.tokenizer.toJSON();
    const text = (name: string, content: string) => ({ name, data: new TextEncoder().encode(content) });
    const written = { ...family.writeConfig(config), dtype: 'float32', torch_dtype: 'float32' };
    return [
      text('config.json', toConfigJson(written)),
      text('tokenizer.json', JSON.stringify(tokenizer)),
      text('tokenizer_config.json', `${JSON.stringify(bpeTokenizerConfig(tokenizer), null, 2)}\n`),
      { name: 'model.safetensors', data: Uint8Array.from(sink.bytes()) },
    ];
  }

  async release(): Promise<void> {
    await this.#learner.release();
  }

  /** Those that were kept, where the device is gone. */
  async #currentWeights(): Promise<ReadonlyMap<string, Float32Array>> {
    try {
      return await this.#learner.values();
    } catch (error) {
      if (error instanceof DeviceError) return this.#kept.weights;
      throw error;
    }
  }
}

function initialWeights(model: CausalLM): ReadonlyMap<string, Float32Array> {
  const parameters = model.parameters();
  const weights = new Map([...parameters].map(([path, { size }]) => [path, new Float32Array(size)]));
  initializeWeights(parameters, weights, new Random(0));
  return weights;
}
