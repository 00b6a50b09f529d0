import { spellBytes } from '../byte-text.ts';
import type { Component } from '../component.ts';
import { parseRegex } from '../regex/parse.ts';
import { translateRegex } from '../regex/translate.ts';
import { splitAt } from './split.ts';
import type { Stage } from './stage.ts';

/** GPT-2's pattern. */
const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const addSpace: Stage = {
  kind: 'map',
  map: (text) => (text.startsWith(' ') ? text : ` ${text}`),
  head: (text, head) => (head > 0 && !text.startsWith(' ') ? head + 1 : head),
};

/** A text's bytes as characters of the byte alphabet. */
const bytes: Stage = {
  kind: 'map',
  map: spellBytes,
  head: (text, head) => spellBytes(text.slice(0, head)).length,
};

/** `ByteLevel`: words by GPT-2's pattern, in the byte alphabet. */
export function byteLevel(component: Component): Stage[] {
  const prefix = component.flag('add_prefix_space');
  component.flag('trim_offsets'); // Only affects offsets, but must be present.
  const usesPattern = component.flag('use_regex', true);
  return [
    ...(prefix ? [addSpace] : []),
    ...(usesPattern ? [splitAt(translateRegex(parseRegex(GPT2_PATTERN)), 'Isolated', false)] : []),
    bytes,
  ];
}
