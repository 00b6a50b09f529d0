import type { Component } from '../component.ts';
import type { Normalizer } from './normalizer.ts';

/** `Prepend`: adds a text before every non-empty text. */
export function prepend(component: Component): Normalizer {
  const front = component.text('prepend');
  return {
    normalize: (text) => (text === '' ? '' : front + text),
    head: (text, head) => (head > 0 && text !== '' ? front.length + head : 0),
  };
}
