import { modelWithTables, tablesOf } from '../tables/bpe-tables.ts';
import type { TabledTokenizer } from '../tables/scan-tokenizer.ts';
import type { JsonObject } from '../tokenizer-schema.ts';
import type { ConvertedModel } from './sentencepiece.ts';

/** A converted `tokenizer.model` as a text and tables; undefined for a Unigram model, which has none. */
export function tabledModel({ tokenizer, names }: ConvertedModel): TabledTokenizer | undefined {
  const tables = tablesOf(tokenizer.model);
  if (!tables) return undefined;
  // Not spread: that would make its vocabulary and its merges.
  const own = tokenizer.model as JsonObject;
  const isTable = (name: string) => name === 'vocab' || name === 'merges';
  const fields = Object.keys(own).map((name) => [name, isTable(name) ? null : own[name]]);
  return {
    text: JSON.stringify({ names, tokenizer: { ...tokenizer, model: Object.fromEntries(fields) } }),
    tables,
  };
}

/** What {@link tabledModel} was given. */
export function convertedModel({ text, tables }: TabledTokenizer): ConvertedModel {
  const { names, tokenizer } = JSON.parse(text) as ConvertedModel;
  return {
    names,
    tokenizer: { ...tokenizer, model: modelWithTables(tokenizer.model as JsonObject, tables) },
  };
}
