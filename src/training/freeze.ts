import type { CausalLM } from '../families/family.ts';
import { OptionError } from '../options.ts';

/** Whether a name matches a pattern: `*` matches any text, including dots, `?` one character. */
export function matchesPattern(pattern: string, name: string): boolean {
  // Greedy, with one place to backtrack to: linear in practice, and at most |pattern| · |name| steps.
  let [at, in_, star, mark] = [0, 0, -1, 0];
  while (at < name.length) {
    if (in_ < pattern.length && pattern[in_] === '*') {
      star = in_++;
      mark = at;
    } else if (in_ < pattern.length && (pattern[in_] === '?' || pattern[in_] === name[at])) {
      in_++;
      at++;
    } else if (star >= 0) {
      in_ = star + 1;
      at = ++mark;
    } else {
      return false;
    }
  }
  while (pattern[in_] === '*') in_++;
  return in_ === pattern.length;
}

/**
 * The parameters that are trained when those that match a pattern are frozen. A tied weight is frozen by any of its
 * names.
 *
 * @param patterns such as `model.layers.0.*` or `*norm*`.
 * @throws RopewalkError naming a pattern that matches nothing, and if nothing is left to train.
 */
export function frozenBy(model: CausalLM, patterns: readonly string[]): (path: string) => boolean {
  const places = [...model.parameterPlaces()];
  const frozen = new Set<string>();
  for (const pattern of patterns) {
    const found = places.filter(([place]) => matchesPattern(pattern, place));
    if (found.length === 0) {
      const some = [...model.parameters().keys()].slice(0, 3).join(', ');
      throw new OptionError(
        'freeze',
        `${JSON.stringify(pattern)} matches none of the model's weights; its weights are named ${some}, …`,
      );
    }
    for (const [, { path }] of found) frozen.add(path);
  }
  if (frozen.size === model.parameters().size) {
    throw new OptionError('freeze', 'it leaves nothing to train; freeze fewer weights.');
  }
  return (path) => !frozen.has(path);
}
