import type { TokenizerJson } from './tokenizer-schema.ts';

/** Whether a text may be cut between two neighboring characters without changing its token ids. */
export type SafeBoundary = (before: string, after: string) => boolean;

interface Component {
  type?: unknown;
  [field: string]: unknown;
}

const isSpace = (character: string) => /^\p{White_Space}$/u.test(character);

/**
 * The patterns of GPT-2, GPT-4 and Llama 3 in the variants that occur. None of their alternatives extends from a
 * non-space into a space, or looks behind; a run of white space that ends before `(?!\S)` begins at the cut in both
 * cases. So a text may be cut before a space that follows a non-space.
 */
const KNOWN_PATTERNS = [
  // GPT-2
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  // Llama 3
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  // GPT-4 (cl100k)
  "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
];

/** Whether the pre-tokenizer is byte-level with a pattern known to split before spaces. */
function splitsBeforeSpaces(component: Component | null): boolean {
  const parts = component?.type === 'Sequence' ? component.pretokenizers : [component];
  if (!Array.isArray(parts)) return false;
  let splits = false;
  for (const part of parts as (Component | null)[]) {
    if (part?.type === 'ByteLevel') {
      if (part.add_prefix_space === true) return false; // A space would be added before every part.
      splits ||= part.use_regex !== false;
    } else if (part?.type === 'Split') {
      const pattern = (part.pattern as { Regex?: string } | undefined)?.Regex;
      const isolates = String(part.behavior).toLowerCase() === 'isolated' && part.invert !== true;
      if (!isolates || pattern === undefined || !KNOWN_PATTERNS.includes(pattern)) return false;
      splits = true;
    } else if (part?.type !== 'Digits') {
      return false;
    }
  }
  return splits;
}

/** Whether the normalizer only replaces single characters wherever they occur (Gemma: a space by `▁`). */
function replacesCharacters(component: Component | null): boolean {
  if (component === null) return true;
  if (component.type === 'Sequence') {
    return Array.isArray(component.normalizers) && component.normalizers.every(replacesCharacters);
  }
  const pattern = component.pattern as { String?: string } | undefined;
  // Replacing the newline would invalidate the reasoning below.
  return component.type === 'Replace' && pattern?.String === ' ' && component.content !== '\n';
}

/**
 * The characters that can follow a newline inside a token, because a merge may join them. Before any other character,
 * byte-pair encoding of both sides is independent, because a merge happens inside one token.
 */
function joinedToNewline(json: TokenizerJson): ReadonlySet<string> | null {
  const { model, pre_tokenizer: preTokenizer } = json;
  const pattern = (preTokenizer?.pattern as { String?: string } | undefined)?.String;
  const wholeText = preTokenizer === null || (preTokenizer.type === 'Split' && pattern === ' ');
  if (model.type !== 'BPE' || model.ignore_merges === true || model.continuing_subword_prefix) return null;
  if (model.end_of_word_suffix || !wholeText || !replacesCharacters(json.normalizer)) return null;
  const vocab = model.vocab as Record<string, number>;
  // An unknown newline could be fused with unknown neighbors into one token.
  const known = '\n' in vocab || (model.byte_fallback === true && '<0x0A>' in vocab);
  if (!known) return null;
  const joined = new Set<string>();
  for (const token of Object.keys(vocab)) {
    for (let at = token.indexOf('\n'); at >= 0; at = token.indexOf('\n', at + 1)) {
      const next = token.codePointAt(at + 1);
      if (next !== undefined) joined.add(String.fromCodePoint(next));
    }
  }
  return joined;
}

/**
 * Where a text may be cut so that encoding the parts gives the ids of the whole, derived from the tokenizer's
 * definition; null if nothing is certain (a `▁` before every text as in Llama 2, Unigram, an unknown pattern).
 */
export function safeBoundary(json: TokenizerJson): SafeBoundary | null {
  let boundary: SafeBoundary;
  if (json.normalizer === null && splitsBeforeSpaces(json.pre_tokenizer)) {
    boundary = (before, after) => after === ' ' && !isSpace(before);
  } else {
    const joined = joinedToNewline(json);
    if (joined === null) return null;
    boundary = (before, after) => before === '\n' && !isSpace(after) && !joined.has(after);
  }
  for (const { content, lstrip, rstrip } of json.added_tokens) {
    if (lstrip || rstrip) return null; // These consume the white space around them.
    const characters = Array.from(content);
    if (characters.some((after, i) => i > 0 && boundary(characters[i - 1]!, after))) return null;
  }
  return boundary;
}
