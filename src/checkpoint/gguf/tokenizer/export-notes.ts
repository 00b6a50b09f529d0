import { CONTROL, UNUSED } from '../../../tokenizer/older/token-types.ts';
import type { TokenizerJson } from '../../../tokenizer/tokenizer-schema.ts';
import type { GgufEntry } from '../writing/entries.ts';
import { tokenMeanings } from './token-meanings.ts';

/** Features of added tokens that llama.cpp lacks, each a sentence with examples. */
export function flagNotes({ added_tokens: tokens, normalizer }: TokenizerJson): string[] {
  const notes: string[] = [];
  const strips = tokens.filter(({ lstrip, rstrip, single_word }) => lstrip || rstrip || single_word);
  if (strips.length > 0) {
    notes.push(
      `Some added tokens absorb adjacent spaces or match whole words only, which llama.cpp does not support: ${few(strips.map(({ content }) => content))}.`,
    );
  }
  const normalized = tokens.filter((token) => token.normalized);
  if (normalizer && normalized.length > 0) {
    notes.push(
      `Some added tokens match the normalized text ("normalized"); llama.cpp matches them in the original text, so texts that contain them may be tokenized differently: ${few(normalized.map(({ content }) => content))}.`,
    );
  }
  return notes;
}

/**
 * Differences between llama.cpp's interpretation of tokens by their texts and that of the tokenizer and the model.
 *
 * @param special the metadata that name special tokens
 * @param stopIds ids that end a text
 */
export function meaningNotes(
  {
    texts,
    types,
    ids,
  }: {
    readonly texts: readonly string[];
    readonly types: Int32Array;
    readonly ids: ReadonlyMap<string, number>;
  },
  special: readonly GgufEntry[],
  stopIds: readonly number[],
): string[] {
  const named = Object.fromEntries(
    special.flatMap(([key, , value]) => {
      const name = /^tokenizer\.ggml\.(\w+)_token_id$/.exec(key)?.[1];
      return name === undefined ? [] : [[name, value as number]];
    }),
  );
  const meant = tokenMeanings(types, (text) => ids.get(text), named);
  const notes: string[] = [];
  const missing = stopIds.filter((id) => !meant.stopIds.includes(id));
  if (missing.length > 0) {
    notes.push(
      `GGUF can store only 3 tokens that end a text; the ids ${missing.join(', ')} are omitted: ${few(missing.map((id) => texts[id] ?? ''))}.`,
    );
  }
  const more = meant.stopIds.filter(
    (id) => !stopIds.includes(id) && id !== named.eos && types[id] !== UNUSED,
  );
  if (more.length > 0) {
    notes.push(
      `llama.cpp also ends texts at these tokens, because of their names: ${few(more.map((id) => texts[id]!))}.`,
    );
  }
  const changed = texts.filter((_, id) => meant.types[id] === CONTROL && types[id] !== CONTROL);
  if (changed.length > 0) {
    notes.push(`llama.cpp treats these as special tokens, because of their names: ${few(changed)}.`);
  }
  return notes;
}

/** The first few of a list, quoted. */
export function few(texts: readonly string[]): string {
  const shown = texts.slice(0, 5).map((text) => JSON.stringify(text));
  return `${shown.join(', ')}${texts.length > 5 ? `, … (${texts.length})` : ''}`;
}
