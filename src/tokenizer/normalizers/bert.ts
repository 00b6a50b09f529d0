import type { Component } from '../component.ts';
import { BERT_ACCENTS_CLASS, BERT_CONTROL_CLASS, SPACE } from '../unicode/classes.ts';
import { lowercase } from './lowercase.ts';
import { inPlace, type Normalizer } from './normalizer.ts';
import { normalizeTo } from './unicode-forms.ts';

const CONTROL = new RegExp(`[${BERT_CONTROL_CLASS}]`, 'gu');
const WHITE_SPACE = new RegExp(SPACE, 'gu');
const ACCENTS = new RegExp(`[${BERT_ACCENTS_CLASS}]`, 'gu');
/** The blocks of CJK ideographs that BERT treats as separate words. */
const IDEOGRAPHS =
  /[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;

/**
 * `BertNormalizer`: BERT's normalization before splitting. Lowercasing also strips accents unless the file says
 * otherwise.
 */
export function bertNormalizer(component: Component): Normalizer {
  const clean = component.flag('clean_text');
  const ideographs = component.flag('handle_chinese_chars');
  const lower = component.flag('lowercase');
  const accents = component.flag('strip_accents', lower);
  return inPlace((text) => {
    let result = text;
    if (clean) result = result.replace(CONTROL, '').replace(WHITE_SPACE, ' ');
    if (ideographs) result = result.replace(IDEOGRAPHS, ' $& ');
    if (accents) result = normalizeTo('NFD', result).replace(ACCENTS, '');
    return lower ? lowercase(result) : result;
  });
}
