import type { Component } from '../component.ts';
import { headFrom, type Stage } from './stage.ts';

export type PrependScheme = 'first' | 'never' | 'always';

/** The fields of `Metaspace`, as a pre-tokenizer and a decoder; older files use `add_prefix_space`. */
export function metaspaceFields(component: Component): {
  mark: string;
  scheme: PrependScheme;
  splits: boolean;
} {
  const mark = component.character('replacement');
  const scheme = component.choice('prepend_scheme', ['first', 'never', 'always'], 'always');
  const splits = component.flag('split', true);
  if (component.flag('add_prefix_space', true)) return { mark, scheme, splits };
  if (scheme !== 'never' && component.json.prepend_scheme !== undefined) {
    component.fail(`contradicts "prepend_scheme"`, 'add_prefix_space');
  }
  return { mark, scheme: 'never', splits };
}

/**
 * `Metaspace`: replaces spaces by a mark, adds one before every part ("always") or before the part at the beginning
 * of the text ("first"), and splits before marks.
 */
export function metaspace(component: Component): Stage[] {
  const { mark, scheme, splits } = metaspaceFields(component);
  return [
    {
      kind: 'split',
      split(text, head, emit) {
        let marked = text.replaceAll(' ', mark);
        let markedHead = text.slice(0, head).replaceAll(' ', mark).length;
        const wanted = scheme === 'always' || (scheme === 'first' && head > 0);
        if (wanted && !marked.startsWith(mark)) {
          marked = mark + marked;
          if (head > 0) markedHead += mark.length;
        }
        if (!splits) return emit(marked, markedHead);
        let start = 0;
        for (let at = marked.indexOf(mark, 1); at >= 0; at = marked.indexOf(mark, at + mark.length)) {
          if (at > start) emit(marked.slice(start, at), headFrom(markedHead, start));
          start = at;
        }
        emit(marked.slice(start), headFrom(markedHead, start));
      },
    },
  ];
}
