import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type PublicName, publicNames } from './helpers/public-names.node.ts';

/** What the package exports is what it means to export: an accidental name shows here, and so does one that went. */

const [node, core] = publicNames('node.ts', 'core.ts') as [PublicName[], PublicName[]];

const twice = (names: readonly string[]) => names.filter((name, i) => names.indexOf(name) < i);
const lines = (names: readonly PublicName[]) => names.map(({ name, kind }) => `${name}: ${kind}`).sort();

describe('the public names of the package', () => {
  it('match test/public-names.txt (after an intended change: npx vitest run test/public-names.test.ts -u)', async () => {
    const anywhere = lines(core);
    const alone = lines(node).filter((line) => !anywhere.includes(line));
    const text = ['In Node and browsers', '', ...anywhere, '', 'In Node alone', '', ...alone, ''].join('\n');
    await expect(text).toMatchFileSnapshot(fileURLToPath(new URL('public-names.txt', import.meta.url)));
  });

  it('of the core are all exported in Node too', () => {
    const known = new Set(lines(node));
    expect(lines(core).filter((line) => !known.has(line))).toEqual([]);
  });

  it('are unambiguous: nothing has two names, and no name has two meanings', () => {
    for (const names of [node, core]) {
      const things = names.filter(({ kind }) => kind !== 'namespace');
      expect(twice(things.map(({ declared }) => declared))).toEqual([]);
      expect(twice(names.map(({ name }) => name.slice(name.lastIndexOf('.') + 1)))).toEqual([]);
    }
  });

  it('at the top level are few: only what a user program needs', () => {
    const top = node.filter(({ name, kind }) => !name.includes('.') && kind !== 'type');
    expect(top.length).toBeLessThanOrEqual(42);
  });

  it('have a docstring when they are functions, classes or methods', () => {
    const lacking = node.flatMap(({ name, kind, documented, undocumentedMethods }) => [
      ...(documented || (kind !== 'function' && kind !== 'class') ? [] : [name]),
      ...undocumentedMethods.map((method) => `${name}.${method}`),
    ]);
    expect(lacking).toEqual([]);
  });
});
