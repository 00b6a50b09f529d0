import { BYTE_TO_CHAR } from '../../../src/tokenizer/byte-alphabet.ts';
import type { JsonObject } from '../../../src/tokenizer/tokenizer-schema.ts';
import { Chooser } from './chooser.ts';
import { randomDecoder, randomNormalizer, randomPreTokenizer, randomProcessor } from './components.ts';
import { randomModel } from './models.ts';
import { CHARACTERS, KINDS, randomText } from './texts.ts';

/** A random tokenizer.json, and texts and ids to try it with. */
export interface RandomTokenizer {
  json: JsonObject;
  texts: string[];
  /** Lists of ids of the vocabulary, and of a few beyond it, to decode. */
  ids: number[][];
}

/** @param seed equal seeds give the same tokenizer and the same texts. */
export function randomTokenizer(seed: number, texts: number): RandomTokenizer {
  const choose = new Chooser(seed);
  const normalizer = choose.once(3) ? null : randomNormalizer(choose);
  const pre_tokenizer = choose.once(4) ? null : randomPreTokenizer(choose);
  const bytes = JSON.stringify([normalizer, pre_tokenizer]).includes('"ByteLevel"');
  const letters = bytes ? choose.without(BYTE_TO_CHAR, 20) : randomLetters(choose);
  const model = randomModel(choose, letters);
  const tokens = modelTokens(model);
  const added_tokens = randomAddedTokens(choose, tokens);
  const spellings = new Map([...tokens, ...added_tokens.map(({ content, id }) => [content, id] as const)]);
  const known = [...spellings].filter(([, id]) => id !== undefined);
  const post_processor = choose.once(3) || known.length === 0 ? null : randomProcessor(choose, known);
  const decoder = choose.once(6) ? null : randomDecoder(choose);
  const marks = added_tokens.map(({ content }) => content);
  const plain = bytes ? [...KINDS.latin, ...KINDS.korean] : letters;
  return {
    json: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens,
      normalizer,
      pre_tokenizer,
      post_processor,
      decoder,
      model,
    },
    texts: choose.several(texts, texts, () => randomText(choose, plain, marks)),
    ids: choose.several(texts, texts, () => choose.several(0, 12, () => choose.below(spellings.size + 3))),
  };
}

function randomLetters(choose: Chooser): string[] {
  const letters = choose.several(10, 60, () => choose.pick(CHARACTERS));
  return [...new Set([...letters, ...choose.without(['▁', ' ', 'a', 'b', 'e', '가', '\n'], 4)])].filter(
    (letter) => [...letter].length === 1 || choose.flag(),
  );
}

/** The tokens of a model and their ids. */
function modelTokens({ vocab }: JsonObject): [string, number][] {
  if (!Array.isArray(vocab)) return Object.entries(vocab as Record<string, number>);
  return vocab.map(([token]: [string], id) => [token, id]);
}

interface AddedToken {
  id: number;
  content: string;
  [flag: string]: unknown;
}

const MARKS = [
  '<s>',
  '</s>',
  '<|im_end|>',
  '<|im_end|>x',
  '[CLS]',
  '[SEP]',
  '<mask>',
  'ab',
  'the',
  ' the',
  '가',
  ' ',
  '\n\n',
  'É',
  '😀',
];

/** Tokens of the vocabulary and new ones, with every flag; ids as the library gives them. */
function randomAddedTokens(choose: Chooser, tokens: readonly (readonly [string, number])[]): AddedToken[] {
  const ids = new Map(tokens);
  let next = tokens.length;
  const contents = choose.several(0, 6, () => {
    const way = choose.below(4);
    if (way === 0 && tokens.length > 0) return choose.pick(tokens)[0];
    return way === 1 ? choose.text(CHARACTERS, 3) : choose.pick(MARKS);
  });
  const unknown = ['<unk>', '[UNK]'].filter((token) => ids.has(token) && choose.flag());
  return [...new Set([...unknown, ...contents])]
    .filter((content) => content !== '')
    .map((content) => {
      const special = choose.flag();
      const known = ids.get(content);
      const id = known ?? next++;
      return {
        id,
        content,
        single_word: choose.once(4),
        lstrip: choose.once(4),
        rstrip: choose.once(4),
        normalized: choose.once(4) ? special : !special,
        special,
      };
    });
}
