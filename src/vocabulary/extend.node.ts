import { readdir } from 'node:fs/promises';
import { type OpenedModel, openModel } from '../checkpoint/load.node.ts';
import { newTokensFile } from '../checkpoint/new-tokens.node.ts';
import type { FloatDtype } from '../checkpoint/safetensors/writer.ts';
import { saveModelDirectory, type TensorToSave } from '../checkpoint/save.node.ts';
import { RopewalkError } from '../errors.ts';
import { exportedConfig, exportedGenerationConfig } from '../export/source.node.ts';
import { tokenizerFilesOf, withTokenizer } from '../export/tokenizer-files.node.ts';
import { vocabularyWeights, withVocabulary } from '../families/vocabulary.ts';
import { recoverDirectory } from '../files/atomic.node.ts';
import { errorCode, fileError } from '../files/file-errors.ts';
import { SCORING_WINDOW, scoreModel } from '../generation/score-model.node.ts';
import { Random } from '../random.ts';
import type { Engine } from '../runtime/engine.ts';
import { extendedJson } from '../tokenizer/extend/extended-json.ts';
import { type LearnedTokens, learnTokens } from '../tokenizer/extend/learn.ts';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type TextSize, type TokenCosts, textSize, tokenCosts } from './costs.ts';
import { growTable, type RowInit } from './initial-rows.ts';

export interface ExtendOptions {
  /** The number of tokens to add. */
  readonly add: number;
  /** Texts whose ids must not change. */
  readonly keep?: readonly string[];
  /** Held-out text for measurements; without it, token costs are those of the texts themselves. */
  readonly heldOut?: string | undefined;
  /** How new rows are initialized; default `mean`. */
  readonly init?: RowInit;
  /** Seed for `noise`; default 0. */
  readonly seed?: number;
  /** Pairs that occur less often are not merged; default 2. */
  readonly minFrequency?: number;
  /** Bytes of the held-out text on which the model is scored, before and after; default 8192, 0 for none. */
  readonly scoredBytes?: number;
  /** An engine for scoring, instead of the default CPU engine. */
  readonly engine?: Engine;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (what: 'learning' | 'scoring' | 'writing', done: number, total: number) => void;
}

/** A value before and after the extension. */
export interface BeforeAfter<T> {
  readonly before: T;
  readonly after: T;
}

export interface ExtensionResult {
  /** The ids of the new tokens are `first` … `first + count − 1`. */
  readonly first: number;
  readonly count: number;
  /** Rows of the embedding. */
  readonly vocabSize: BeforeAfter<number>;
  /** The first new tokens as text, without those that contain only part of a character. */
  readonly examples: readonly string[];
  /** The cost of the measured text: the held-out one if there is one. */
  readonly costs: BeforeAfter<TokenCosts> & { readonly size: TextSize; readonly heldOut: boolean };
  /** Loss on the beginning of the held-out text in nats per byte, before any training. */
  readonly loss?: BeforeAfter<number> & { readonly bytes: number };
}

const SCORED_BYTES = 8192;
const EXAMPLES = 12;

/**
 * Adds tokens for a language to a model: learns them from texts ({@link learnTokens}) and writes the extended model as
 * a Hugging Face directory. New ids follow the tokenizer's highest one, so rows that pad the embedding are filled
 * first. New rows of the embedding, and of a separate head, start as the mean of the rows of the pieces that they
 * replace; all other weights keep their bits and their dtype. The folder appears complete or not at all.
 *
 * @param path a folder that does not exist, or is empty
 * @throws RopewalkError for a tokenizer or weights that cannot be extended, for texts that offer fewer tokens, and for
 *   a folder that has files
 */
export async function extendModel(
  opened: OpenedModel,
  path: string,
  texts: readonly string[],
  options: ExtendOptions,
): Promise<ExtensionResult> {
  const { add, keep, minFrequency, signal, heldOut, scoredBytes = SCORED_BYTES, onProgress } = options;
  await checkFree(path);
  const dtypes = dtypesOf(opened);
  const before = await tokenizerOf(opened);
  const learned = await learnTokens(before, texts, {
    add,
    ...(keep && { keep }),
    ...(minFrequency !== undefined && { minFrequency }),
    signal,
    onProgress: (done) => onProgress?.('learning', done, add),
  });
  const json = extendedJson(before, learned);
  const after = Tokenizer.fromJSON(
    json,
    before.config,
    `the extended tokenizer of ${opened.checkpoint.path}`,
  );
  const scored = heldOut && scoredBytes > 0 ? beginning(heldOut, scoredBytes) : '';
  const lossBefore = scored === '' ? undefined : await lossPerByte(opened, before, scored, options);
  const vocabSize = Math.max(opened.config.vocab_size, before.vocabSize + add);
  await write(opened, path, { learned, json, vocabSize, dtypes }, options);
  const measured = heldOut ? [heldOut] : texts;
  const size = textSize(measured);
  const result = {
    ...{ first: before.vocabSize, count: add },
    vocabSize: { before: opened.config.vocab_size, after: vocabSize },
    examples: examplesOf(learned, after),
    costs: {
      before: tokenCosts(before, measured, size),
      after: tokenCosts(after, measured, size),
      ...{ size, heldOut: heldOut !== undefined && heldOut !== '' },
    },
  };
  if (lossBefore === undefined) return result;
  const extended = await openModel(path);
  try {
    const lossAfter = await lossPerByte(extended, after, scored, options);
    const bytes = new TextEncoder().encode(scored).length;
    return { ...result, loss: { before: lossBefore, after: lossAfter, bytes } };
  } finally {
    await extended.checkpoint.tensors.close();
  }
}

/** The first tokens that contain more than part of a character. */
function examplesOf({ tokens }: LearnedTokens, tokenizer: Tokenizer): string[] {
  const texts: string[] = [];
  for (const { id } of tokens) {
    const text = tokenizer.decode([id]);
    if (!text.includes('\ufffd')) texts.push(text);
    if (texts.length === EXAMPLES) break;
  }
  return texts;
}

async function checkFree(path: string): Promise<void> {
  await recoverDirectory(path);
  try {
    if ((await readdir(path)).length === 0) return;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw fileError(error, 'write', path);
  }
  throw new RopewalkError(
    `cannot write the extended model into ${path}: it is not empty; choose a new folder.`,
  );
}

/** The type of each weight, by its path. */
function dtypesOf({ checkpoint, names }: OpenedModel): Map<string, FloatDtype> {
  return new Map(
    [...names].map(([path, name]) => {
      const { dtype } = checkpoint.tensors.info(name);
      if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16') return [path, dtype];
      // Float64 is rounded, as everywhere.
      if (dtype === 'F64') return [path, 'F32'];
      throw new RopewalkError(
        `${checkpoint.path}: its weights are quantized (${dtype}), and new rows cannot be added to them; export the model as a Hugging Face directory, and extend that.`,
      );
    }),
  );
}

async function tokenizerOf({ checkpoint }: OpenedModel): Promise<Tokenizer> {
  const files = await checkpoint.tokenizerFiles();
  if (!files) throw new RopewalkError(`${checkpoint.path}: it has no tokenizer to extend.`);
  return Tokenizer.fromJSON(files.tokenizer, files.config, `the tokenizer of ${checkpoint.path}`);
}

/** The beginning of a text, up to a number of bytes, cut at a character boundary. */
function beginning(text: string, bytes: number): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(bytes));
  return text.slice(0, read);
}

/** Preceded by the token that begins texts, if there is one, so that every token is predicted. */
async function lossPerByte(
  opened: OpenedModel,
  tokenizer: Tokenizer,
  text: string,
  { engine, threads, onProgress }: ExtendOptions,
): Promise<number> {
  const { bosId } = tokenizer;
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  const score = await scoreModel(opened, bosId === undefined ? ids : [bosId, ...ids], {
    window: SCORING_WINDOW,
    ...(engine && { engine }),
    threads,
    onWindow: (done, total) => onProgress?.('scoring', done, total),
  });
  return (score.meanNegativeLogLikelihood * score.tokens) / new TextEncoder().encode(text).length;
}

interface Extended {
  readonly learned: LearnedTokens;
  readonly json: unknown;
  readonly vocabSize: number;
  readonly dtypes: ReadonlyMap<string, FloatDtype>;
}

async function write(
  opened: OpenedModel,
  path: string,
  { learned, json, vocabSize, dtypes }: Extended,
  { init = 'mean', seed = 0, signal, onProgress }: ExtendOptions,
): Promise<void> {
  const { family, model, names, checkpoint } = opened;
  const { config, model: larger } = withVocabulary(family, opened.config, vocabSize);
  const grown = vocabularyWeights(opened);
  const random = new Random(seed);
  const parameters = [...larger.parameters()];
  let written = 0;
  const tensors = parameters.map(([name, { shape }]): TensorToSave => {
    const data = async () => {
      signal?.throwIfAborted();
      const values = await checkpoint.tensors.readFloat32(names.get(name)!);
      onProgress?.('writing', ++written, parameters.length);
      if (!grown.has(name)) return values;
      const [, width = 1] = model.parameters().get(name)!.shape as [number, number?];
      return growTable(values, vocabSize, { width, tokens: learned.tokens, init, random });
    };
    return { name, shape, data, dtype: dtypes.get(name)! };
  });
  const files = await checkpoint.tokenizerFiles();
  const carried = withTokenizer(await tokenizerFilesOf(opened), json, files!.config);
  const { tokens, merges } = learned;
  const record = newTokensFile({ first: tokens[0]!.id, count: tokens.length, merges: merges.length });
  await saveModelDirectory(path, {
    config: exportedConfig({ ...opened, config }),
    generationConfig: exportedGenerationConfig(opened),
    tensors,
    dtype: dtypes.get(parameters[0]![0])!,
    files: [...carried.filter(({ name }) => name !== record.name), record],
  });
}
