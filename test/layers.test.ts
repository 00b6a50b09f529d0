import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/**
 * Which room of src/ may look into which (ARCHITECTURE.md). errors.ts is everybody's; tests may look anywhere. A room
 * that is not listed fails, so that a new one says where it belongs.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  graph: [],
  onnx: ['graph'],
  runtime: ['onnx', 'graph'],
  nn: ['graph'],
  families: ['nn', 'graph'],
  tokenizer: [],
  text: ['tokenizer'],
  checkpoint: ['text', 'tokenizer', 'families', 'nn', 'onnx', 'graph'],
  hub: ['checkpoint'],
  chat: ['tokenizer'],
  generation: [
    'hub',
    'chat',
    'checkpoint',
    'text',
    'tokenizer',
    'runtime',
    'families',
    'nn',
    'onnx',
    'graph',
  ],
  data: ['hub', 'chat', 'checkpoint', 'text', 'tokenizer'],
  export: ['generation', 'checkpoint', 'text', 'tokenizer', 'families', 'nn', 'onnx', 'graph'],
  training: ['checkpoint', 'text', 'tokenizer', 'runtime', 'families', 'nn', 'onnx', 'graph'],
  distillation: ['training', 'checkpoint', 'text', 'tokenizer', 'runtime', 'families', 'nn', 'onnx', 'graph'],
  finetune: [
    'data',
    'export',
    'report',
    'inspect',
    'training',
    'generation',
    'chat',
    'checkpoint',
    'text',
    'tokenizer',
    'runtime',
    'families',
  ],
  inspect: ['checkpoint', 'families', 'nn', 'graph'],
  report: ['inspect'],
  mainjob: [
    'report',
    'inspect',
    'training',
    'generation',
    'hub',
    'checkpoint',
    'text',
    'tokenizer',
    'runtime',
    'families',
    'nn',
    'onnx',
    'graph',
  ],
};

/** Rooms of programs rather than of a library: they may look anywhere, and run in Node only. */
const PROGRAMS = ['cli', 'mainjob'];

const source = fileURLToPath(new URL('../src/', import.meta.url));
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'));

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

describe('the rooms of src/', () => {
  it('are all listed', () => {
    const rooms = new Set(files.map(room).filter((name) => name !== '' && !PROGRAMS.includes(name)));
    for (const name of rooms) expect(Object.keys(MAY_IMPORT)).toContain(name);
  });

  it('look only where they may', () => {
    const wrong = files
      .filter((path) => room(path) in MAY_IMPORT)
      .flatMap((path) =>
        importsOf(path)
          .ours.filter((target) => target !== 'errors.ts' && room(target) !== room(path))
          .filter((target) => !MAY_IMPORT[room(path)]!.includes(room(target)))
          .map((target) => `${path} imports ${target}`),
      );
    expect(wrong).toEqual([]);
  });

  it('keep Node to the files that say so in their names', () => {
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
