import type { Component } from '../component.ts';
import { SPLIT_BEHAVIORS } from '../split.ts';
import { NUMERIC_CLASS, PUNCTUATION_CLASS, SPACE, WORD_CLASS } from '../unicode/classes.ts';
import { escapePattern } from '../unicode/text.ts';
import { splitAt } from './split.ts';
import type { Stage } from './stage.ts';

const PUNCTUATION = new RegExp(`[${PUNCTUATION_CLASS}]`, 'gu');
const NUMERIC = new RegExp(`[${NUMERIC_CLASS}]`, 'gu');
const WHITE_SPACE = new RegExp(SPACE, 'gu');
const WORDS = new RegExp(`${WORD_CLASS}+|[^${WORD_CLASS}${SPACE}]+`, 'gv');

/** `WhitespaceSplit`: splits at white space, which is dropped. */
export function whitespaceSplit(): Stage[] {
  return [splitAt(WHITE_SPACE, 'Removed', false)];
}

/** `Whitespace`: words, and runs of characters that are neither word nor white space. */
export function whitespace(): Stage[] {
  return [splitAt(WORDS, 'Removed', true)];
}

/** `Punctuation`: splits at punctuation characters. */
export function punctuation(component: Component): Stage[] {
  return [splitAt(PUNCTUATION, component.choice('behavior', SPLIT_BEHAVIORS, 'Isolated'), false)];
}

/** `BertPreTokenizer`: splits at white space, and isolates punctuation characters. */
export function bert(): Stage[] {
  return [...whitespaceSplit(), splitAt(PUNCTUATION, 'Isolated', false)];
}

/** `Digits`: runs of numeric characters, or single ones. */
export function digits(component: Component): Stage[] {
  return [splitAt(NUMERIC, component.flag('individual_digits') ? 'Isolated' : 'Contiguous', false)];
}

/** `CharDelimiterSplit`: splits at a character, which is dropped. */
export function charDelimiterSplit(component: Component): Stage[] {
  return [splitAt(new RegExp(escapePattern(component.character('delimiter')), 'gu'), 'Removed', false)];
}
