import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const file = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const page = file('docs/walks.md');

interface Step {
  readonly path: string;
  readonly name: string;
  /** Other words in code marks: what the step says that its file has. */
  readonly words: readonly string[];
}

/** What is not called by its own name: a command's file, the engine's session, an operator's record. */
const THROUGH: Readonly<Record<string, string>> = {
  generate: './commands/generate.ts',
  WholeGraphLearner: 'createLearner',
  DirectSession: 'session.run',
  matmulOp: 'operator.differentiate',
};

const walks = page
  .split(/^## /m)
  .slice(1)
  .map((section) => ({
    title: section.split('\n')[0]!,
    steps: [...section.matchAll(/^\d+\. `([\w./-]+)` · `(\w+)` (.*)$/gm)].map(
      ([, path, name, rest]): Step => ({
        path: path!,
        name: name!,
        words: [...rest!.matchAll(/`([\w./]+)`/g)].map(([, word]) => word!),
      }),
    ),
  }));

describe('the walkthroughs in docs/walks.md', () => {
  it('are two, each of at most ten steps', () => {
    expect(walks).toHaveLength(2);
    for (const { steps } of walks) {
      expect(steps.length).toBeGreaterThan(5);
      expect(steps.length).toBeLessThanOrEqual(10);
    }
  });

  describe.each(walks)('in $title', ({ steps }) => {
    it.each(steps)(
      '$path declares $name and contains what the step says about it',
      ({ path, name, words }) => {
        expect(existsSync(new URL(`../${path}`, import.meta.url)), path).toBe(true);
        const text = file(path);
        expect(text).toMatch(new RegExp(`(function\\*?|class|const|async function\\*?) ${name}\\b`));
        for (const word of words.filter((word) => !word.includes('.json'))) {
          expect(text, `${path} has ${word}`).toContain(word);
        }
      },
    );
  });

  it('each step is reachable from the ones before it', () => {
    for (const { steps } of walks) {
      steps.slice(1).forEach(({ name }, i) => {
        const before = steps.slice(0, i + 1).map(({ path }) => file(path));
        const reached = THROUGH[name] ?? name;
        expect(
          before.some((text) => text.includes(reached)),
          name,
        ).toBe(true);
      });
    }
  });
});
