import type { JsonObject } from '../../../src/tokenizer/tokenizer-schema.ts';
import type { Chooser } from './chooser.ts';

/** The tokens of the 256 bytes in SentencePiece's byte fallback. */
const BYTE_TOKENS = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);

/** All of the byte tokens, none, or some. */
function byteTokens(choose: Chooser): string[] {
  return choose.pick([[], BYTE_TOKENS, choose.without(BYTE_TOKENS, 12)]);
}

/** Tokens in the order of their ids. */
class Tokens {
  readonly vocab: Record<string, number> = Object.create(null);
  readonly all: string[] = [];

  add(token: string): void {
    if (token in this.vocab) return;
    this.vocab[token] = this.all.length;
    this.all.push(token);
  }
}

/**
 * A random `model` of tokenizer.json: any type, any options.
 *
 * @param alphabet the characters that tokens are made of
 */
export function randomModel(choose: Chooser, alphabet: readonly string[]): JsonObject {
  const kept = choose.without(alphabet, 5);
  const letters = kept.length > 0 ? kept : alphabet;
  const type = choose.pick(['BPE', 'BPE', 'BPE', 'Unigram', 'Unigram', 'WordPiece', 'WordLevel'] as const);
  if (type === 'BPE') return randomBpe(choose, letters, alphabet);
  if (type === 'Unigram') return randomUnigram(choose, letters, alphabet);
  return randomWordModel(choose, type, letters, alphabet);
}

function randomBpe(choose: Chooser, letters: readonly string[], alphabet: readonly string[]): JsonObject {
  const prefix = choose.once(5) ? choose.pick(['##', '▁', '']) : null;
  const suffix = choose.once(5) ? choose.pick(['</w>', '$', '']) : null;
  const byteFallback = choose.flag();
  const tokens = new Tokens();
  if (!choose.once(8)) tokens.add('<unk>');
  for (const letter of letters) {
    tokens.add(letter);
    if (prefix !== null && !choose.once(6)) tokens.add(prefix + letter);
    if (suffix !== null && !choose.once(6)) tokens.add(letter + suffix);
    if (prefix !== null && suffix !== null && !choose.once(3)) tokens.add(prefix + letter + suffix);
  }
  if (byteFallback) for (const token of byteTokens(choose)) tokens.add(token);
  const merges: [string, string][] = [];
  for (let i = choose.below(80); i > 0; i--) {
    const [left, right] = [choose.pick(tokens.all), choose.pick(tokens.all)];
    // A right part that does not begin with the prefix loses as many bytes: Rust aborts where they are too few.
    if (left.length + right.length > 30 || (prefix && !right.startsWith(prefix))) continue;
    tokens.add(left + right.slice(prefix?.length ?? 0));
    merges.push([left, right]);
    if (choose.once(10)) merges.splice(choose.below(merges.length), 0, choose.pick(merges));
  }
  for (let i = choose.below(5); i > 0; i--) tokens.add(choose.text(alphabet, 4));
  const lines = choose.once(3) && !merges.some((pair) => pair.join('').includes(' '));
  return {
    type: 'BPE',
    dropout: choose.pick([null, 0]),
    unk_token: choose.once(5) ? null : '<unk>',
    continuing_subword_prefix: prefix,
    end_of_word_suffix: suffix,
    fuse_unk: choose.flag(),
    byte_fallback: byteFallback,
    ignore_merges: choose.once(3),
    vocab: tokens.vocab,
    merges: lines ? merges.map((pair) => pair.join(' ')) : merges,
  };
}

function randomUnigram(choose: Chooser, letters: readonly string[], alphabet: readonly string[]): JsonObject {
  // Few different scores make ties.
  const ties = choose.flag();
  const score = () => (ties ? -choose.below(5) : -choose.below(1000) / 100);
  const byteFallback = choose.flag();
  const vocab: [string, number][] = [
    ['<unk>', score()],
    ...letters.map((letter): [string, number] => [letter, score()]),
  ];
  for (let i = choose.below(60); i > 0; i--) vocab.push([choose.text(alphabet, 4), score()]);
  if (byteFallback) for (const token of byteTokens(choose)) vocab.push([token, score()]);
  if (choose.once(8)) vocab.push(['', 0]);
  if (choose.once(5)) vocab.push([choose.text(alphabet, 3), 3]);
  const unknown = choose.once(4) ? choose.below(vocab.length) : 0;
  return {
    type: 'Unigram',
    unk_id: choose.once(8) ? null : unknown,
    vocab,
    ...(byteFallback || choose.flag() ? { byte_fallback: byteFallback } : {}),
  };
}

function randomWordModel(
  choose: Chooser,
  type: 'WordPiece' | 'WordLevel',
  letters: readonly string[],
  alphabet: readonly string[],
): JsonObject {
  const tokens = new Tokens();
  const prefix = choose.pick(['##', '##', '', '▁']);
  if (!choose.once(8)) tokens.add('[UNK]');
  for (const letter of letters) {
    if (!choose.once(6)) tokens.add(letter);
    if (!choose.once(6)) tokens.add(prefix + letter);
  }
  for (let i = choose.below(60); i > 0; i--) {
    tokens.add((choose.flag() ? prefix : '') + choose.text(alphabet, 4));
  }
  const model = { type, unk_token: '[UNK]', vocab: tokens.vocab };
  if (type === 'WordLevel') return model;
  const most = choose.pick([100, 100, 5, 0, 12]);
  return { ...model, continuing_subword_prefix: prefix, max_input_chars_per_word: most };
}
