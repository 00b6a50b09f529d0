import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/** Tests run wherever the repository was cloned to, from any folder, with what is in it alone. */
const root = fileURLToPath(new URL('..', import.meta.url));
const tests = ['src', 'test'].flatMap((folder) =>
  readdirSync(`${root}${folder}`, { recursive: true, encoding: 'utf8' })
    .map((path) => `${folder}/${path.replaceAll('\\', '/')}`)
    .filter((path) => /\.test\.ts$|^test\/helpers\/.*\.ts$/.test(path) && !path.includes('.generated.')),
);

/** String literals of a program, with the line of each. */
function literals(text: string): { line: number; value: string }[] {
  const file = ts.createSourceFile('a.ts', text, ts.ScriptTarget.Latest, true);
  const found: { line: number; value: string }[] = [];
  const visit = (node: ts.Node) => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node))
      found.push({
        line: file.getLineAndCharacterOfPosition(node.getStart()).line + 1,
        value: node.text,
      });
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

describe('the test suite', () => {
  it('runs in an empty folder elsewhere (test/helpers/elsewhere.ts), where no relative path leads to a file', () => {
    expect(readdirSync('.')).toEqual([]);
    expect(process.cwd().startsWith(root)).toBe(false);
  });

  it('reads nothing outside the repository', () => {
    const beside = tests.flatMap((path) =>
      literals(readFileSync(root + path, 'utf8'))
        .filter(({ value }) => /\.\.\/shared\//.test(value) && !value.startsWith('\\'))
        .map(({ line }) => `${path}:${line}`),
    );
    expect(beside).toEqual([]);
  });

  it('derives paths from the location of its files, not from a percent-encoded URL nor from the working directory', () => {
    const wrong = tests.flatMap((path) => {
      const text = readFileSync(root + path, 'utf8');
      const found = /import\.meta\.url\)\.pathname|(?<!expect\()process\.cwd\(\)/.exec(text);
      return found ? [`${path}: ${found[0]}`] : [];
    });
    expect(wrong).toEqual([]);
  });
});
