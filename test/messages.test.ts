import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/** What the library says, it says to programs: no message names a flag, and every option that one names is declared. */

const source = fileURLToPath(new URL('../src/', import.meta.url));
const rooms = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts') && !path.startsWith('cli/'))
  // Style sheets have custom properties.
  .filter((path) => !path.startsWith('kernels/assembly/') && !path.endsWith('style.ts'))
  .sort();

/** Flags of Node itself. */
const OF_NODE = ['--input-type', '--import'];

function nodesOf(path: string): ts.Node[] {
  const file = ts.createSourceFile(path, readFileSync(source + path, 'utf8'), ts.ScriptTarget.Latest, true);
  const all: ts.Node[] = [];
  const visit = (node: ts.Node) => {
    all.push(node);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return all;
}

const isText = (node: ts.Node): node is ts.LiteralLikeNode =>
  ts.isStringLiteralLike(node) ||
  ts.isTemplateHead(node) ||
  ts.isTemplateMiddle(node) ||
  ts.isTemplateTail(node);

async function declaredOptions(): Promise<Set<string>> {
  const program = new Command();
  for (const name of readdirSync(`${source}cli/commands`)) {
    if (!name.endsWith('.ts') || name.endsWith('.test.ts')) continue;
    const { register } = (await import(`../src/cli/commands/${name.slice(0, -3)}.ts`)) as {
      register(program: Command): void;
    };
    register(program);
  }
  const all = new Set<string>();
  const visit = (command: Command) => {
    for (const option of command.options) all.add(option.attributeName());
    command.commands.forEach(visit);
  };
  visit(program);
  return all;
}

describe('the error messages of the library', () => {
  it('contain no command-line flag', () => {
    const flags = rooms.flatMap((path) =>
      nodesOf(path)
        .filter(isText)
        .flatMap(({ text }) => [...text.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map(([flag]) => flag))
        .filter((flag) => !OF_NODE.includes(flag))
        .map((flag) => `${path}: ${flag}`),
    );
    expect(flags).toEqual([]);
  });

  it('name only options that a command has, so that it can print the flag', async () => {
    const declared = await declaredOptions();
    // These two are spelled by src/cli/options/spelling.ts.
    for (const name of ['columns', 'specialTokensInText']) declared.add(name);
    const naming = /import \{[^}]*\boption\b[^}]*\} from '[./]+errors\.ts'/;
    const named = rooms
      .filter((path) => naming.test(readFileSync(source + path, 'utf8')))
      .flatMap((path) =>
        nodesOf(path)
          .filter(ts.isCallExpression)
          .filter(({ expression }) => ts.isIdentifier(expression) && expression.text === 'option')
          .flatMap(({ arguments: [name] }) => (name && ts.isStringLiteral(name) ? [name.text] : [])),
      );
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((name) => !declared.has(name))).toEqual([]);
  });
});
