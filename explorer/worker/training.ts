import { BatchSampler, evaluationBatches } from '../../src/batches.ts';
import { writeSafetensors } from '../../src/checkpoint/safetensors/writer.ts';
import { RopewalkError } from '../../src/errors.ts';
import { initializeWeights } from '../../src/families/initialize.ts';
import { type BuiltModel, findPreset } from '../../src/families/registry.ts';
import { toConfigJson } from '../../src/files/json.ts';
import { memorySink } from '../../src/files/source.ts';
import { Decoder } from '../../src/generation/decoder.ts';
import { generateTokens } from '../../src/generation/generate.ts';
import { Random } from '../../src/random.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { encodeCorpusAsync, splitCorpus } from '../../src/text/corpus.ts';
import { fitBigram, meanNegativeLogLikelihood } from '../../src/text/ngram.ts';
import { bpeTokenizerConfig, trainBpeAsync } from '../../src/tokenizer/bpe-trainer.ts';
import { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { AdamW } from '../../src/training/optimizers/optimizer.ts';
import { Trainer } from '../../src/training/trainer.ts';
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

/** A model that learns, from random weights. */
export class PageTraining {
  readonly #engine: Engine;
  readonly #built: BuiltModel;
  readonly #corpus: PageCorpus;
  readonly #learner: WholeGraphLearner;
  readonly trainer: Trainer;

  private constructor(
    engine: Engine,
    built: BuiltModel,
    corpus: PageCorpus,
    learner: WholeGraphLearner,
    steps: number,
  ) {
    this.#engine = engine;
    this.#built = built;
    this.#corpus = corpus;
    this.#learner = learner;
    const { training, validation } = corpus;
    const parts = {
      learner,
      training: new BatchSampler({ tokens: training, ...SHAPE, seed: 0 }),
      validation: () => evaluationBatches(validation, SHAPE.batch, SHAPE.seq),
      optimizer: new AdamW(learner.trainables, { beta1: 0.9, beta2: 0.95, weightDecay: 0.02 }),
    };
    this.trainer = new Trainer(parts, {
      ...{ steps, accumulate: 1, lr: 2.5e-3, schedule: 'cosine', minLrRatio: 0.05 },
      ...{ warmup: Math.min(40, Math.floor(steps / 4)), clip: 1 },
      ...{ evalEvery: Math.max(25, Math.floor(steps / 12)), saveEvery: 0, evaluateFirst: true },
    });
  }

  /** @param name of a preset, with parts that are exchanged behind a plus. */
  static async create(
    engine: Engine,
    name: string,
    corpus: PageCorpus,
    steps: number,
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
    const learner = await WholeGraphLearner.create(engine, model, SHAPE);
    initializeWeights(model.parameters(), learner.values(), new Random(0));
    return new PageTraining(engine, { family, config, model }, corpus, learner, steps);
  }

  /** What the model writes behind the beginning of the held-out text. */
  async sample(seed: number): Promise<string> {
    const { tokenizer, validation } = this.#corpus;
    const weights = new Map([...this.#learner.values()].map(([path, data]) => [path, { data }]));
    const decoder = await Decoder.create(this.#engine, this.#built.model, weights);
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
    const values = this.#learner.values();
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

  release(): Promise<void> {
    return this.#learner.release();
  }
}
