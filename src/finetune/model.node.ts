import { stat } from 'node:fs/promises';
import { chatStopTokens } from '../chat/encode.ts';
import { ChatTemplate } from '../chat/template.ts';
import { type OpenedModel, openModel } from '../checkpoint/load.node.ts';
import { readNewTokens } from '../checkpoint/new-tokens.node.ts';
import { openTemplate } from '../data/open-template.node.ts';
import { RopewalkError } from '../errors.ts';
import { exportedConfig, exportedGenerationConfig } from '../export/source.node.ts';
import { tokenizerFilesOf, withTokenizer } from '../export/tokenizer-files.node.ts';
import type { CommonConfig } from '../families/config.ts';
import type { CausalLM, Family } from '../families/family.ts';
import { vocabularyWeights, withVocabulary } from '../families/vocabulary.ts';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import { parseTokenizerJson } from '../tokenizer/tokenizer-schema.ts';
import type { TokenRange } from '../training/new-rows.ts';
import type { ModelIdentity } from '../training/runs/run-directory.node.ts';
import { addSpecialTokens, growRows } from './new-tokens.ts';

/** A model to be trained: with its new tokens, before any of its weights is read. */
export interface BaseModel {
  /** Its name in messages and the model card. */
  readonly name: string;
  readonly family: Family;
  readonly config: CommonConfig;
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  /** The template of chats; undefined if there is none. */
  readonly template: ChatTemplate | undefined;
  /** Ids that end a text. */
  readonly stopTokens: readonly number[];
  /** Statements of the model's files that are wrong or not followed, each a sentence. */
  readonly warnings: readonly string[];
  /** How all checkpoints and the result are saved. */
  readonly identity: ModelIdentity;
  readonly addedTokens: readonly { readonly content: string; readonly id: number }[];
  /** Ids whose rows are new: those that the model was last extended by, and those of new special tokens. */
  readonly newTokens: readonly TokenRange[];
  /**
   * Fills arrays, by path, with the checkpoint's weights; rows of new tokens with the mean of the others.
   *
   * @param startOf where an array begins in its weight, if it is a part of it; undefined for wholes.
   */
  readWeights(targets: ReadonlyMap<string, Float32Array>, startOf?: (path: string) => number): Promise<void>;
  close(): Promise<void>;
}

export interface BaseModelOptions {
  /** New special tokens. */
  readonly addToken: readonly string[];
  /** A template instead of the model's own, or the file or name of one: see {@link openTemplate}. */
  readonly template?: ChatTemplate | string | undefined;
  /** The model's name, if the path is one in a cache. */
  readonly name?: string | undefined;
}

/** @throws RopewalkError naming what is missing or wrong. */
export async function openBaseModel(path: string, options: BaseModelOptions): Promise<BaseModel> {
  const opened = await openModel(path);
  try {
    return await describe(opened, options.name ?? path, options);
  } catch (error) {
    await opened.checkpoint.tensors.close();
    throw error;
  }
}

async function describe(
  opened: OpenedModel,
  name: string,
  { addToken, template: wanted }: BaseModelOptions,
): Promise<BaseModel> {
  const { family, checkpoint } = opened;
  const files = await checkpoint.tokenizerFiles();
  if (!files) throw new RopewalkError(`${name}: it has no tokenizer, which is needed to tokenize text.`);
  const source = `the tokenizer of ${name}`;
  const before = Tokenizer.fromJSON(files.tokenizer, files.config, source);
  const parsed = { tokenizer: parseTokenizerJson(files.tokenizer, source), config: files.config };
  const { files: after, ids } = addSpecialTokens(parsed, addToken, before.vocabSize);
  const plain = Tokenizer.fromJSON(after.tokenizer, after.config, source);
  const given = typeof wanted === 'string' ? await openTemplate(wanted, plain) : wanted;
  const config = given ? { ...after.config, chat_template: given.source } : after.config;
  const tokenizer = given ? Tokenizer.fromJSON(after.tokenizer, config, source) : plain;
  // A tokenizer may name tokens without rows in the model, usually a [PAD] that is never used.
  const wantedSize = addToken.length > 0 ? tokenizer.vocabSize : opened.config.vocab_size;
  const larger = withVocabulary(family, opened.config, wantedSize);
  const template = given ?? ChatTemplate.fromConfig(tokenizer.config, `the chat template of ${name}`);
  const stopTokens = template ? chatStopTokens(tokenizer, template, opened.stopTokens) : opened.stopTokens;
  const changed = addToken.length > 0 || given !== undefined;
  const identity: ModelIdentity = {
    family,
    config: larger.config,
    extraConfig: exportedConfig(opened),
    files: changed
      ? withTokenizer(await tokenizerFilesOf(opened), after.tokenizer, config, given?.source)
      : await tokenizerFilesOf(opened),
    generationConfig: {
      ...exportedGenerationConfig(opened),
      ...(stopTokens.length > 0 && {
        eos_token_id: stopTokens.length === 1 ? stopTokens[0] : [...stopTokens],
      }),
    },
  };
  return {
    ...{ name, family, tokenizer, template, stopTokens, identity, warnings: opened.warnings },
    ...{ config: larger.config, model: larger.model },
    newTokens: await newTokensOf(opened, larger.config.vocab_size, ids),
    addedTokens: addToken.map((content, i) => ({ content, id: ids[i]! })),
    readWeights: (targets, startOf) =>
      readInto(opened, larger.model, targets, { known: before.vocabSize, ids }, startOf),
    close: () => checkpoint.tensors.close(),
  };
}

/** In order; neighbors are one range. */
async function newTokensOf(
  { checkpoint: { path } }: OpenedModel,
  vocabSize: number,
  added: readonly number[],
): Promise<TokenRange[]> {
  const isFolder = (await stat(path)).isDirectory();
  const extension = isFolder ? await readNewTokens(path, vocabSize) : undefined;
  const [first] = added;
  if (first === undefined) return extension ? [extension] : [];
  if (!extension) return [{ first, count: added.length }];
  return extension.first + extension.count === first
    ? [{ first: extension.first, count: extension.count + added.length }]
    : [extension, { first, count: added.length }];
}

async function readInto(
  opened: OpenedModel,
  model: CausalLM,
  targets: ReadonlyMap<string, Float32Array>,
  { known, ids }: { readonly known: number; readonly ids: readonly number[] },
  startOf?: (path: string) => number,
): Promise<void> {
  const { tensors } = opened.checkpoint;
  const vocabulary = vocabularyWeights(opened);
  for (const [path, name] of opened.names) {
    const target = targets.get(path);
    if (!target) continue;
    if (ids.length === 0 || !vocabulary.has(path)) {
      if (startOf) await tensors.readFloat32Part(name, startOf(path), target);
      else await tensors.readFloat32Into(name, target);
      continue;
    }
    const [rows, width = 1] = opened.model.parameters().get(path)!.shape as [number, number?];
    const whole = startOf ? new Float32Array(model.parameters().get(path)!.size) : target;
    growRows(await tensors.readFloat32(name), whole, { width, known: Math.min(known, rows), ids });
    if (startOf) target.set(whole.subarray(startOf(path), startOf(path) + target.length));
  }
}
