import type { Component } from '../component.ts';
import { codePointLength } from '../unicode/text.ts';
import { headFrom, type Stage } from './stage.ts';

/** `FixedLength`: parts with a fixed number of code points. */
export function fixedLength(component: Component): Stage[] {
  const length = component.count('length', 5);
  if (length === 0) component.fail('is 0', 'length');
  return [
    {
      kind: 'split',
      split(text, head, emit) {
        let start = 0;
        while (start < text.length) {
          let end = start;
          for (let left = length; left > 0 && end < text.length; left--) end += codePointLength(text, end);
          emit(text.slice(start, end), headFrom(head, start));
          start = end;
        }
      },
    },
  ];
}
