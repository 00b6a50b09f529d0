import type { Chooser } from './chooser.ts';

/** Characters whose JSON has escapes, and others. */
export const BPE_ALPHABET = [
  'a',
  'b',
  'c',
  '▁',
  '가',
  '나',
  'é',
  '😀',
  'x',
  ' ',
  '"',
  '\\',
  '<',
  '\n',
  '0',
  '\u007f',
  '\u0001',
];

/** A vocabulary of all characters, and tokens that join two others in every order of ranks. */
export function randomBpe(choose: Chooser, { asTexts = false, spaces = true } = {}) {
  const characters = BPE_ALPHABET.filter((text) => !asTexts || text !== ' ');
  const tokens = ['<unk>', '__proto__', '17', '', ...characters];
  const pairs: [string, string][] = [];
  const start = 4;
  for (let i = 0; i < 60; i++) {
    const left = choose.pick(tokens.slice(start));
    const right = choose.pick(tokens.slice(start));
    if (left.length + right.length > 12) continue;
    pairs.push([left, right]);
    if (!tokens.includes(left + right)) tokens.push(left + right);
  }
  const ids = tokens.map((token, i): [string, number] => [token, i]);
  if (spaces && choose.once(3)) ids.reverse();
  const vocab = Object.create(null) as Record<string, number>;
  for (const [token, id] of ids) vocab[token] = id;
  const merges = asTexts ? pairs.map(([left, right]) => `${left} ${right}`) : pairs;
  const model = { type: 'BPE', dropout: null, unk_token: '<unk>', vocab, merges, byte_fallback: false };
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const added = [{ id: 0, content: '<unk>', ...flags }];
  return { version: '1.0', added_tokens: added, pre_tokenizer: null, decoder: null, model };
}
