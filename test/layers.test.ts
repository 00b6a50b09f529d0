import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/** What every room may import. */
const SHARED = ['abort.ts', 'errors.ts', 'options.ts', 'random.ts', 'batches.ts'];

const page = readFileSync(new URL('../ARCHITECTURE.md', import.meta.url), 'utf8');

/**
 * Which room of src/ may look into which, from the table in ARCHITECTURE.md: "nothing", "anything", or names. A room that
 * is not listed fails, so that a new one says where it belongs. Tests may look anywhere.
 */
const table = new Map(
  [...page.matchAll(/^\| `src\/(\w+)` \|.*\| ([\w, ]+) \|$/gm)].map(
    ([, room, list]) => [room!, list === 'nothing' ? [] : list!.split(', ')] as const,
  ),
);

/** Rooms of programs rather than of a library: they may look anywhere, and run in Node only. */
const PROGRAMS = [...table].filter(([, list]) => list.includes('anything')).map(([room]) => room);

const source = fileURLToPath(new URL('../src/', import.meta.url));
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .map((path) => path.replaceAll('\\', '/'))
  .filter(
    (path) => path.endsWith('.ts') && !path.endsWith('.test.ts') && !path.startsWith('kernels/assembly/'),
  );

const room = (path: string) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '');
const isNodeOnly = (path: string) =>
  path.endsWith('.node.ts') || path === 'node.ts' || PROGRAMS.includes(room(path));

/** Everything that a file imports or exports from, types too: those of ours as paths below src/. */
function importsOf(path: string): { ours: string[]; packages: string[] } {
  const { importedFiles } = ts.preProcessFile(readFileSync(join(source, path), 'utf8'), true, true);
  const names = importedFiles.map(({ fileName }) => fileName);
  return {
    ours: names
      .filter((name) => name.startsWith('.'))
      .map((name) => relative(source, join(source, dirname(path), name)).replaceAll('\\', '/')),
    packages: names.filter((name) => !name.startsWith('.')),
  };
}

/** What a file needs to have run before it: all that it imports or exports from, unless that is types alone. */
function runsAfter(path: string): string[] {
  const text = readFileSync(join(source, path), 'utf8');
  const { statements } = ts.createSourceFile(path, text, ts.ScriptTarget.Latest);
  return statements.flatMap((statement) => {
    const isImport = ts.isImportDeclaration(statement);
    const typesOnly = isImport
      ? statement.importClause?.isTypeOnly
      : ts.isExportDeclaration(statement) && statement.isTypeOnly;
    const from = isImport || ts.isExportDeclaration(statement) ? statement.moduleSpecifier : undefined;
    if (typesOnly || !from || !ts.isStringLiteral(from) || !from.text.startsWith('.')) return [];
    return [relative(source, join(source, dirname(path), from.text)).replaceAll('\\', '/')];
  });
}

/** Circles of files that import each other, each as `a -> b -> a`; one for each import that closes one. */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]) => {
    const start = way.indexOf(path);
    if (start >= 0) found.push([...way.slice(start), path].join(' -> '));
    if (start >= 0 || done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...way, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return found;
}

/** Names of Node's globals that a file uses, as `line: name`. */
function nodeGlobals(path: string): string[] {
  const text = readFileSync(join(source, path), 'utf8');
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: ts.Node) => {
    if (
      ts.isIdentifier(node) &&
      ['process', 'Buffer', 'require', '__dirname', 'global'].includes(node.text)
    ) {
      const { parent } = node;
      const isName =
        (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
        ('name' in parent && parent.name === node);
      if (!isName) found.push(`${file.getLineAndCharacterOfPosition(node.pos).line + 1}: ${node.text}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

describe('the folders of src/', () => {
  it('are all listed in the import table', () => {
    const rooms = new Set(files.map(room).filter((name) => name !== ''));
    expect([...table.keys()].sort()).toEqual([...rooms].sort());
  });

  it('import only from the folders that the table allows', () => {
    const wrong = files
      .filter((path) => table.has(room(path)) && !PROGRAMS.includes(room(path)))
      .flatMap((path) =>
        importsOf(path)
          .ours.filter((target) => !SHARED.includes(target) && room(target) !== room(path))
          .filter((target) => !table.get(room(path))!.includes(room(target)))
          .map((target) => `${path} imports ${target}`),
      );
    expect(wrong).toEqual([]);
  });

  it('contain no import cycles', () => {
    const pair = new Map([
      ['a.ts', ['b.ts', 'c.ts']],
      ['b.ts', ['c.ts']],
      ['c.ts', ['b.ts']],
    ]);
    expect(circles(pair)).toEqual(['b.ts -> c.ts -> b.ts']);
    expect(runsAfter('graph/rewrite.ts').sort()).toEqual(['graph/tensor.ts', 'graph/traverse.ts']);
    expect(circles(new Map(files.map((path) => [path, runsAfter(path)])))).toEqual([]);
  });

  it('use Node modules only in files whose names say so', () => {
    const wrong = files
      .filter((path) => !isNodeOnly(path))
      .flatMap((path) => {
        const { ours, packages } = importsOf(path);
        return [
          ...[...ours.filter(isNodeOnly), ...packages.filter(isBuiltin)].map(
            (name) => `${path} imports ${name}`,
          ),
          ...packages.filter((name) => name === 'onnxruntime-node').map((name) => `${path} imports ${name}`),
          ...nodeGlobals(path).map((use) => `${path}:${use}`),
        ];
      });
    expect(wrong).toEqual([]);
  });
});
