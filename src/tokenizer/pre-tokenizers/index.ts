import type { Component } from '../component.ts';
import { byteLevel } from './byte-level.ts';
import { bert, charDelimiterSplit, digits, punctuation, whitespace, whitespaceSplit } from './characters.ts';
import { fixedLength } from './fixed-length.ts';
import { metaspace } from './metaspace.ts';
import { splitStage } from './split.ts';
import type { Stage } from './stage.ts';
import { unicodeScripts } from './unicode-scripts.ts';

const BUILDERS: Readonly<Record<string, (component: Component) => Stage[]>> = {
  BertPreTokenizer: bert,
  ByteLevel: byteLevel,
  CharDelimiterSplit: charDelimiterSplit,
  Metaspace: metaspace,
  Whitespace: whitespace,
  WhitespaceSplit: whitespaceSplit,
  Sequence: (component) => component.components('pretokenizers').flatMap(createStages),
  Split: splitStage,
  Punctuation: punctuation,
  Digits: digits,
  UnicodeScripts: unicodeScripts,
  FixedLength: fixedLength,
};

/**
 * The steps of the field `pre_tokenizer`, in order.
 *
 * @throws RopewalkError naming a type or a field that is not supported
 */
export function createStages(component: Component): Stage[] {
  return component.select(BUILDERS)(component);
}
