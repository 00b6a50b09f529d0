import { spellBytes } from '../byte-text.ts';
import type { Component } from '../component.ts';
import { bertNormalizer } from './bert.ts';
import { lowercaseNormalizer } from './lowercase.ts';
import { nmt } from './nmt.ts';
import { inPlace, type Normalizer } from './normalizer.ts';
import { precompiled } from './precompiled.ts';
import { prepend } from './prepend.ts';
import { replace } from './replace.ts';
import { strip, stripAccents } from './strip.ts';
import { unicodeForm } from './unicode-forms.ts';

const BUILDERS: Readonly<Record<string, (component: Component) => Normalizer>> = {
  BertNormalizer: bertNormalizer,
  Strip: strip,
  StripAccents: () => stripAccents,
  NFC: () => unicodeForm('NFC'),
  NFD: () => unicodeForm('NFD'),
  NFKC: () => unicodeForm('NFKC'),
  NFKD: () => unicodeForm('NFKD'),
  Sequence: sequence,
  Lowercase: () => lowercaseNormalizer,
  Nmt: () => nmt,
  Precompiled: precompiled,
  Replace: replace,
  Prepend: prepend,
  ByteLevel: () => inPlace(spellBytes),
};

/** @throws RopewalkError naming a type or a field that is not supported */
export function createNormalizer(component: Component): Normalizer {
  return component.select(BUILDERS)(component);
}

function sequence(component: Component): Normalizer {
  const parts = component.components('normalizers').map(createNormalizer);
  return {
    normalize: (text) => parts.reduce((result, part) => part.normalize(result), text),
    head(text, head) {
      let [result, resultHead] = [text, head];
      for (const part of parts) {
        resultHead = part.head(result, resultHead);
        result = part.normalize(result);
      }
      return resultHead;
    },
  };
}
