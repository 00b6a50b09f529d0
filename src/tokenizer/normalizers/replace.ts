import type { Component } from '../component.ts';
import { compilePattern } from '../regex/compile.ts';
import { eachMatch } from '../split.ts';
import type { Normalizer } from './normalizer.ts';

/**
 * `Replace`, as a normalizer and as a decoder: every match of a string or of a regular expression becomes `content`.
 */
export function replacement(component: Component): (text: string) => string {
  const pattern = component.pattern('pattern');
  const content = component.text('content');
  if ('String' in pattern && pattern.String !== '') {
    const { String: from } = pattern;
    return (text) => text.replaceAll(from, () => content);
  }
  const expression = compilePattern(pattern, component, 'pattern');
  return (text) => {
    let result = '';
    let at = 0;
    eachMatch(expression, text, (start, end) => {
      result += text.slice(at, start) + content;
      at = end;
    });
    return result + text.slice(at);
  };
}

/** `Replace` as a normalizer. */
export function replace(component: Component): Normalizer {
  const normalize = replacement(component);
  const expression = compilePattern(component.pattern('pattern'), component, 'pattern');
  const content = component.text('content');
  return {
    normalize,
    head: (text, head) => {
      if (head === 0) return 0;
      let result = 0;
      let at = 0;
      eachMatch(expression, text, (start, end) => {
        result += Math.max(0, Math.min(head, start) - at);
        // The replacement counts as the last character that it replaces.
        if (end <= head) result += content.length;
        at = end;
      });
      return result + Math.max(0, head - at);
    },
  };
}
