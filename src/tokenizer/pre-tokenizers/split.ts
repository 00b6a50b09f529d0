import type { Component } from '../component.ts';
import { compilePattern } from '../regex/compile.ts';
import { SPLIT_BEHAVIORS, type SplitBehavior, split } from '../split.ts';
import { headFrom, type Stage } from './stage.ts';

/** A stage that splits at the matches of a regular expression. */
export function splitAt(expression: RegExp, behavior: SplitBehavior, invert: boolean): Stage {
  return {
    kind: 'split',
    split: (text, head, emit) =>
      split(text, expression, behavior, invert, (start, end) =>
        emit(text.slice(start, end), headFrom(head, start)),
      ),
  };
}

/** `Split`: splits at a string or a regular expression. */
export function splitStage(component: Component): Stage[] {
  const expression = compilePattern(component.pattern('pattern'), component, 'pattern');
  return [splitAt(expression, component.choice('behavior', SPLIT_BEHAVIORS), component.flag('invert'))];
}
