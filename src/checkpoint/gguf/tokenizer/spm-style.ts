import { isObject, type JsonObject, type TokenizerJson } from '../../../tokenizer/tokenizer-schema.ts';

/** How a SentencePiece-style tokenizer treats spaces. */
export interface SentencePieceStyle {
  /** Whether a space is added before a text. */
  readonly addsPrefix: boolean;
  /** What llama.cpp does differently, each a sentence. */
  readonly notes: readonly string[];
}

/**
 * Whether a tokenizer.json writes spaces as ▁ and merges over the whole text, as SentencePiece does; undefined for
 * others. This is expressed by a normalizer (Gemma, Llama 2) or a Metaspace pre-tokenizer (newer conversions).
 */
export function readSentencePiece({
  normalizer,
  pre_tokenizer: pre,
}: TokenizerJson): SentencePieceStyle | undefined {
  const parts = normalizer?.type === 'Sequence' ? normalizer.normalizers : normalizer ? [normalizer] : [];
  if (!Array.isArray(parts) || !parts.every(isObject)) return undefined;
  const [first, second] = parts;
  if (parts.length === 0) return pre?.type === 'Metaspace' ? readMetaspace(pre) : undefined;
  // Gemma's newer files split at spaces, which the normalizer has already replaced.
  const splits = pre?.type === 'Split' && isObject(pre.pattern) && pre.pattern.String === ' ';
  if (pre && !splits) return undefined;
  if (parts.length === 1 && marksSpaces(first)) return { addsPrefix: false, notes: [] };
  const prepends = first?.type === 'Prepend' && first.prepend === '▁';
  return parts.length === 2 && prepends && marksSpaces(second) ? { addsPrefix: true, notes: [] } : undefined;
}

function marksSpaces(part: JsonObject | undefined): boolean {
  return (
    part?.type === 'Replace' && isObject(part.pattern) && part.pattern.String === ' ' && part.content === '▁'
  );
}

function readMetaspace(pre: JsonObject): SentencePieceStyle | undefined {
  if (pre.replacement !== '▁' || pre.split !== false) return undefined;
  const scheme = pre.prepend_scheme ?? (pre.add_prefix_space === false ? 'never' : 'always');
  if (scheme === 'never') return { addsPrefix: false, notes: [] };
  if (scheme === 'always') return { addsPrefix: true, notes: [] };
  const note = 'llama.cpp also adds a space after special tokens; this tokenizer adds it only before a text.';
  return { addsPrefix: true, notes: [note] };
}
