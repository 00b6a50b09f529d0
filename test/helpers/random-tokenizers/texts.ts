import type { Chooser } from './chooser.ts';

/** Characters and short runs of them, by kind. */
export const KINDS = {
  latin: [
    ...'abcdefghijstlmrveABLSTI',
    "'s",
    "'ll",
    "'LL",
    "n't",
    "'",
    'ab',
    'the',
    'é',
    'ß',
    'ſ',
    'İ',
    'ı',
    'Å',
    'K',
  ],
  marks: [
    'e\u0301',
    'a\u0308',
    '\u0301',
    '\u0323\u0307',
    '\u0307\u0323',
    'ñ',
    'n\u0303',
    '\u20dd',
    'ﬁ',
    'Ǆ',
    '\u0345',
  ],
  korean: [
    '가',
    '각',
    '나',
    '한',
    '글',
    '밧',
    '줄',
    '을',
    '\u1100\u1161',
    '\u1100',
    '\u1161\u11a8',
    '\u11a8',
    'ㄱ',
    'ㅏ',
    'ﾡ',
  ],
  eastern: [
    '你',
    '好',
    '一',
    '龥',
    '㐀',
    '𠀀',
    '々',
    'の',
    'ー',
    'カ',
    'ガ',
    'カ\u3099',
    'ｶﾞ',
    'ㇰ',
    '豈',
    '〇',
  ],
  others: [
    'Д',
    'й',
    'и\u0306',
    'Σ',
    'σ',
    'ς',
    'ΑΣ',
    'ΐ',
    'م',
    'لا',
    'ﷺ',
    'ש',
    'שׁ',
    'ไ',
    'ำ',
    'ำ',
    'क',
    'क़',
    'ि',
    'ქ',
    'Ა',
    'ᏸ',
    'ᢰ',
  ],
  digits: [...'01239', '42', '1234567', '½', '²', '①', 'Ⅷ', '٣', '१', '１', '𝟙', '㊿', '፩', '〇'],
  spaces: [
    ' ',
    ' ',
    ' ',
    '  ',
    '   ',
    '\n',
    '\n\n',
    '\r\n',
    '\r',
    '\t',
    '\u0085',
    '\u00a0',
    '\u1680',
    '\u2003',
    '\u2028',
    '\u2029',
    '\u202f',
    '\u205f',
    '\u3000',
    '\u000b',
    '\f',
    '\u001c',
  ],
  invisible: [
    '\0',
    '\u0001',
    '\u0008',
    '\u007f',
    '\u009f',
    '\u00ad',
    '\u180e',
    '\u200b',
    '\u200c',
    '\u200d',
    '\u200e',
    '\u2060',
    '\ufeff',
    '\ufe0f',
    '\ufffd',
    '\ue000',
    '\u0378',
    '\u{e0001}',
    '\u{10ffff}',
    '\uffff',
  ],
  emoji: ['😀', '🪢', '👍🏽', '👨‍👩‍👧', '🇰🇷', '❤️', '#️⃣', '☃', '🏴󠁧󠁢󠁥󠁮󠁧󠁿'],
  punctuation: [
    ...'.,;:!?-_()[]{}/\\|"#@&*%',
    '…',
    '—',
    '「',
    '。',
    '、',
    '،',
    '؟',
    '«',
    '’',
    '“',
    '·',
    '！',
    '～',
    '‿',
    '...',
    '!!',
  ],
  symbols: [
    ...'$+<=>^`~',
    '€',
    '©',
    '°',
    '´',
    '∑',
    '→',
    '▁',
    '▁▁',
    'Ġ',
    'Ċ',
    '¦',
    '<0x0A>',
    '##',
    '</w>',
    '|',
    '<pad>',
    '<unk>',
  ],
} as const satisfies Record<string, readonly string[]>;

export const CHARACTERS: readonly string[] = Object.values(KINDS).flat();

const KIND_NAMES = Object.keys(KINDS) as (keyof typeof KINDS)[];

/**
 * A random text: several scripts, marks, white space of all kinds, controls, digits of all kinds and the given marks, whole,
 * cut short or beside each other.
 *
 * @param letters that the model at hand knows
 * @param marks the contents of added tokens
 */
export function randomText(choose: Chooser, letters: readonly string[], marks: readonly string[]): string {
  if (choose.once(40)) return '';
  const kinds = choose.several(1, 3, () => choose.pick(KIND_NAMES));
  const wild = choose.once(3);
  const part = (): string => {
    const way = choose.below(20);
    if (way < 2 && marks.length > 0) {
      const mark = choose.pick(marks);
      return choose.once(6) ? mark.slice(0, 1 + choose.below(mark.length)) : mark;
    }
    if (way < 7) return choose.pick(letters);
    if (way < 10) return choose.pick(KINDS.spaces);
    return choose.pick(wild ? CHARACTERS : KINDS[choose.pick(kinds)]);
  };
  const text = choose.several(1, choose.pick([3, 8, 20, 60]), part).join('');
  // A lone surrogate is U+FFFD to a library that takes UTF-8.
  return choose.once(100) ? `${text}\ud83d${choose.pick(letters)}` : text;
}
