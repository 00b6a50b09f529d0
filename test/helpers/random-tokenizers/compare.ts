import { RopewalkError } from '../../../src/errors.ts';
import { Tokenizer } from '../../../src/tokenizer/tokenizer.ts';
import { type Answer, PANICKED, type Question, type TextAnswer } from './rust.node.ts';
import { randomTokenizer } from './tokenizers.ts';

/** What comparing random tokenizers with the Rust library came to; a pair is a tokenizer and a text. */
export interface Comparison {
  pairs: number;
  /** Pairs whose ids and texts are the library's, or that both refuse. */
  equal: number;
  /** Texts on which the library panics: no pairs. */
  panicked: number;
  /** Pairs that we refuse, alone, by the message. */
  refused: Map<string, number>;
  differing: Difference[];
}

export interface Difference {
  seed: number;
  what: string;
  text: string;
  ours: unknown;
  rust: unknown;
}

export function emptyComparison(): Comparison {
  return { pairs: 0, equal: 0, panicked: 0, refused: new Map(), differing: [] };
}

const OURS: readonly (keyof TextAnswer)[] = ['ids', 'plain', 'decoded', 'decodedWithoutSpecial'];

/** Tries one random tokenizer with some texts and adds to a comparison. */
export async function compareRandomTokenizer(
  seed: number,
  texts: number,
  ask: (question: Question) => Promise<Answer>,
  into: Comparison,
): Promise<void> {
  const made = randomTokenizer(seed, texts);
  const json = JSON.stringify(made.json);
  const rust = await ask({ json, texts: made.texts, ids: made.ids });
  const ours = trying(() => Tokenizer.fromJSON(JSON.parse(json)));
  const panicked = rust?.texts.filter((text) => text === PANICKED).length ?? 0;
  into.panicked += panicked;
  into.pairs += texts - panicked;
  const differ = (what: string, text: string, left: unknown, right: unknown): void => {
    into.differing.push({ seed, what, text, ours: left, rust: right });
  };
  const refuse = (message: string, count: number): void => {
    into.refused.set(message, (into.refused.get(message) ?? 0) + count);
  };
  if (ours instanceof RopewalkError) {
    if (rust) refuse(ours.message, texts - panicked);
    else into.equal += texts;
    return;
  }
  if (!rust) {
    differ('opened', '', true, false);
    return;
  }
  made.texts.forEach((text, index) => {
    const theirs = rust.texts[index];
    const mine = trying(() => answer(ours, text));
    const decoded = trying(() => ours.decode(made.ids[index]!));
    if (theirs === PANICKED) return;
    if (mine instanceof RopewalkError) {
      if (theirs) refuse(mine.message, 1);
      else into.equal++;
      return;
    }
    const before = into.differing.length;
    if (!theirs) differ('encoded', text, mine.ids, undefined);
    else {
      const what = OURS.find((key) => JSON.stringify(mine[key]) !== JSON.stringify(theirs[key]));
      if (what) differ(what, text, mine[what], theirs[what]);
      else if (decoded !== rust.decoded[index]) {
        differ('decoded ids', made.ids[index]!.join(), decoded, rust.decoded[index]);
      }
    }
    if (into.differing.length === before) into.equal++;
  });
}

function answer(tokenizer: Tokenizer, text: string): TextAnswer {
  const ids = tokenizer.encode(text);
  return {
    ids,
    plain: tokenizer.encode(text, { addSpecialTokens: false }),
    decoded: tokenizer.decode(ids),
    decodedWithoutSpecial: tokenizer.decode(ids, { skipSpecialTokens: true }),
  };
}

/** The result, or the refusal; any other error is thrown on. */
function trying<T>(work: () => T): T | RopewalkError {
  try {
    return work();
  } catch (error) {
    if (error instanceof RopewalkError) return error;
    throw error;
  }
}
