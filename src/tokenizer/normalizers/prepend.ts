import type { Component } from '../component.ts';
import type { Normalizer } from './normalizer.ts';

/** `Prepend`: a text in front of every text that is not empty. */
export function prepend(component: Component): Normalizer {
  const front = component.text('prepend');
  return {
    normalize: (text) => (text === '' ? '' : front + text),
    head: (text, head) => (head > 0 && text !== '' ? front.length + head : 0),
  };
}
