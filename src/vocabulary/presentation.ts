import type { Row } from '../inspect/compare.ts';
import { SCRIPTS, type Script } from '../tokenizer/unicode/scripts.ts';
import type { TextSize, TokenCosts, WordCost } from './costs.ts';

/** Token costs of one tokenizer, with the name of its column. */
export interface NamedCosts {
  readonly name: string;
  readonly vocabSize: number;
  readonly costs: TokenCosts;
}

const SCRIPT_NAMES: Readonly<Record<Script, string>> = {
  hangul: 'Hangul',
  latin: 'Latin',
  han: 'Han',
  kana: 'Kana',
  digits: 'Digits',
  punctuation: 'Punctuation',
  space: 'White space',
  other: 'Other',
};

const whole = (value: number) => value.toLocaleString('en');
const ratio = (value: number) => value.toFixed(3);
const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

/** The composition of a text, on one line. */
export function textSizeLine({ bytes, characters, words, syllables }: TextSize): string {
  const hangul = syllables > 0 ? `, ${whole(syllables)} Hangul syllables` : '';
  return `${whole(words)} words, ${whole(characters)} characters${hangul}, ${whole(bytes)} bytes`;
}

/** Costs side by side, one column per tokenizer. Scripts that the text does not contain are omitted. */
export function costRows(named: readonly NamedCosts[], size: TextSize): Row[] {
  const row = (feature: string, value: (each: NamedCosts) => string): Row => ({
    feature,
    values: Object.fromEntries(named.map((each) => [each.name, value(each)])),
  });
  return [
    row('Vocabulary', ({ vocabSize }) => whole(vocabSize)),
    row('Tokens', ({ costs }) => whole(costs.tokens)),
    row('Tokens per word', ({ costs }) => ratio(costs.tokensPerWord)),
    ...(size.syllables > 0
      ? [row('Tokens per Hangul syllable', ({ costs }) => ratio(costs.tokensPerSyllable ?? 0))]
      : []),
    row('Tokens per character', ({ costs }) => ratio(costs.tokensPerCharacter)),
    row('Tokens per byte', ({ costs }) => ratio(costs.tokensPerByte)),
    ...SCRIPTS.filter((script) => size.scripts[script] > 0).map((script) =>
      row(`${SCRIPT_NAMES[script]}: tokens per character`, ({ costs }) =>
        ratio(costs.scripts[script].tokensPerCharacter ?? 0),
      ),
    ),
    row('Unknown tokens', ({ costs }) => percent(costs.unknown)),
    row('Byte-fallback tokens', ({ costs }) => percent(costs.byteFallback)),
    row('Tokens with part of a character', ({ costs }) => percent(costs.partial)),
  ];
}

/** Worst words as table rows. */
export function worstRows(worst: readonly WordCost[]): { columns: string[]; rows: Row[] } {
  const columns = ['Times', 'Tokens', 'Characters', 'Tokens beyond one, total'];
  const rows = worst.map(({ word, times, tokens, characters, excess }) => {
    const values = [times, tokens, characters, excess].map(whole);
    return { feature: word, values: Object.fromEntries(columns.map((name, i) => [name, values[i]!])) };
  });
  return { columns, rows };
}
