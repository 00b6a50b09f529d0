import { RankTable } from '../models/rank-table.ts';
import type { JsonObject } from '../tokenizer-schema.ts';
import type { TokenTable } from './token-table.ts';

/** The vocabulary and the merges of a BPE model, as numbers. */
export class BpeTables {
  readonly vocabulary: TokenTable;
  /** The left and right token ids of each merge. */
  readonly pairs: Int32Array;
  /** The id of the token that each merge forms; undefined if the vocabulary lacks one. */
  readonly merged: Int32Array | undefined;
  /** Whether the file writes a merge as one text, `"a b"`. */
  readonly asTexts: boolean;
  #ranks: RankTable | undefined;

  constructor({ vocabulary, pairs, merged, asTexts }: Omit<BpeTables, 'ranks'>, ranks?: RankTable) {
    this.vocabulary = vocabulary;
    this.pairs = pairs;
    this.merged = merged;
    this.asTexts = asTexts;
    this.#ranks = ranks;
  }

  /** The ranks of pairs; made when they are first asked for. */
  get ranks(): RankTable {
    this.#ranks ??= new RankTable(this.pairs);
    return this.#ranks;
  }
}

const tablesByModel = new WeakMap<object, BpeTables>();

/** The tables of a field `model` that was made by {@link modelWithTables}; undefined for any other. */
export function tablesOf(model: unknown): BpeTables | undefined {
  return typeof model === 'object' && model !== null ? tablesByModel.get(model) : undefined;
}

/**
 * A field `model` of tokenizer.json whose `vocab` and `merges` are made from tables when they are asked for: to run a
 * tokenizer takes only the tables.
 *
 * @param fields the model's other fields; `vocab` and `merges` keep their places among them
 */
export function modelWithTables(fields: JsonObject, tables: BpeTables): JsonObject {
  const model: JsonObject = {};
  for (const [name, value] of Object.entries(fields)) {
    if (name === 'vocab') defineLazy(model, name, () => vocabularyJson(tables));
    else if (name === 'merges') defineLazy(model, name, () => mergesJson(tables));
    else define(model, name, value);
  }
  tablesByModel.set(model, tables);
  return model;
}

/** As a property of its own, whatever the name. */
function define(target: JsonObject, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
}

function defineLazy(target: JsonObject, name: string, make: () => unknown): void {
  let made: unknown;
  Object.defineProperty(target, name, {
    get() {
      made ??= make();
      return made;
    },
    enumerable: true,
    configurable: true,
  });
}

function vocabularyJson({ vocabulary }: BpeTables): JsonObject {
  const vocab: JsonObject = {};
  for (const [token, id] of vocabulary.entries()) {
    if (token === '__proto__') define(vocab, token, id);
    else vocab[token] = id;
  }
  return vocab;
}

function mergesJson({ vocabulary, pairs, asTexts }: BpeTables): unknown[] {
  return Array.from({ length: pairs.length >> 1 }, (_, rank) => {
    const left = vocabulary.token(pairs[2 * rank]!)!;
    const right = vocabulary.token(pairs[2 * rank + 1]!)!;
    return asTexts ? `${left} ${right}` : [left, right];
  });
}
