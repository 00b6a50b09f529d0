import type { Component } from '../component.ts';
import { MARKS_CLASS } from '../unicode/classes.ts';
import { skipWhiteSpace, skipWhiteSpaceBack } from '../unicode/text.ts';
import { inPlace, type Normalizer } from './normalizer.ts';

/** `Strip`: removes white space at the ends. */
export function strip(component: Component): Normalizer {
  const left = component.flag('strip_left');
  const right = component.flag('strip_right');
  const range = (text: string): [number, number] => {
    const start = left ? skipWhiteSpace(text, 0) : 0;
    return [start, right ? Math.max(start, skipWhiteSpaceBack(text, text.length)) : text.length];
  };
  return {
    normalize: (text) => text.slice(...range(text)),
    head: (text, head) => {
      const [start, end] = range(text);
      return Math.max(0, Math.min(head, end) - start);
    },
  };
}

const MARKS = new RegExp(`[${MARKS_CLASS}]`, 'gu');

/** `StripAccents`: removes combining marks. */
export const stripAccents: Normalizer = inPlace((text) => text.replace(MARKS, ''));
