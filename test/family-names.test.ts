import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { unsupportedKind } from '../src/families/common/unsupported.ts';
import { families, familyNames } from '../src/families/registry.ts';

/**
 * What is particular to a family stands in its file: nothing outside src/families has a table or a condition with a
 * family's name in it, so that a new family needs no line elsewhere.
 */
const source = fileURLToPath(new URL('../src/', import.meta.url));
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts') && !path.startsWith('families/'))
  .filter((path) => !path.startsWith('kernels/assembly/') && !path.includes('/fixtures/'));

const architectures = families.flatMap(({ gguf }) => ('none' in gguf ? [] : [gguf.architecture]));
/** What families are called: in Ropewalk, in config.json, in GGUF, and their sizes. */
const names = new Set([
  ...familyNames().split(', '),
  ...families.flatMap((family) => [family.modelType, family.architecture, ...Object.keys(family.presets)]),
  ...architectures,
]);
names.delete('tiny');

/** Words that are also names of something else, each where it may stand and what it means there. */
const ALLOWED: readonly { file: string; words: readonly string[]; meaning: string }[] = [
  {
    file: 'start/settings.ts',
    words: ['gpt', 'gemma', 'gemma2', 'llama'],
    meaning: 'which families the main job compares: its subject',
  },
  { file: 'nn/rope-scaling.ts', words: ['llama3'], meaning: 'a type of RoPE scaling in config.json' },
  { file: 'nn/positions.ts', words: ['llama3'], meaning: 'a type of RoPE scaling in config.json' },
  { file: 'data/templates.ts', words: ['gemma', 'llama3'], meaning: 'names of chat templates' },
  { file: 'data/row-message.ts', words: ['gpt'], meaning: "the assistant's name in ShareGPT's data" },
  {
    file: 'tokenizer/older/byte-level.ts',
    words: ['gpt2', 'qwen2', 'qwen3'],
    meaning: 'classes of tokenizers in transformers, by which vocab.json and merges.txt are read',
  },
  {
    file: 'checkpoint/gguf/tokenizer/tokenizer.ts',
    words: ['gpt2', 'llama'],
    meaning: 'kinds of tokenizer in GGUF',
  },
  {
    file: 'checkpoint/gguf/tokenizer/tokenizer-entries.ts',
    words: ['gpt2', 'llama'],
    meaning: 'kinds of tokenizer in GGUF',
  },
  {
    file: 'checkpoint/gguf/tokenizer/recognize.ts',
    words: ['qwen2'],
    meaning: 'pre-tokenizers in GGUF, whatever the model',
  },
  { file: 'cli/terminal/chat-terminal.ts', words: ['ctrl'], meaning: 'a key on the keyboard' },
];

/** Names of families among the string literals and object keys of a program, as `line: name`. */
function namesIn(text: string): { line: number; word: string }[] {
  const file = ts.createSourceFile('a.ts', text, ts.ScriptTarget.Latest, true);
  const found: { line: number; word: string }[] = [];
  const look = (node: ts.Node, word: string) => {
    const key = architectures.find(
      (each) => word.startsWith(`${each}.`) && /^\w+\.(?!cpp)[\w.]+$/.test(word),
    );
    if (!names.has(word) && key === undefined) return;
    found.push({ line: file.getLineAndCharacterOfPosition(node.getStart()).line + 1, word });
  };
  const visit = (node: ts.Node) => {
    if (ts.isStringLiteralLike(node)) look(node, node.text);
    const { name } = node as { name?: ts.Node };
    const isKey = ts.isObjectLiteralElement(node) || ts.isPropertySignature(node);
    if (isKey && name && ts.isIdentifier(name)) look(name, name.text);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

const all = files.flatMap((path) =>
  namesIn(readFileSync(join(source, path), 'utf8')).map((found) => ({ path, ...found })),
);

describe('names of families outside src/families', () => {
  it('are detected in conditions, lists, types and tables', () => {
    const text = [
      "if (type === 'gemma2') run();",
      "const LIST = ['llama', `gpt2`];",
      'const TABLE = { llama: 1, other: 2 };',
      "switch (type) { case 'LlamaForCausalLM': }",
      "type Kind = 'ctrl' | 'none'; interface Table { gemma: number }",
      "const key = 'llama.block_count', program = 'llama.cpp', gemma = 1, other = 'a gemma';",
    ];
    expect(namesIn(text.join('\n')).map(({ line, word }) => `${line}: ${word}`)).toEqual([
      ...['1: gemma2', '2: llama', '2: gpt2', '3: llama', '4: LlamaForCausalLM', '5: ctrl', '5: gemma'],
      '6: llama.block_count',
    ]);
  });

  it('appear in no table and no condition', () => {
    const wrong = all.filter(
      ({ path, word }) => !ALLOWED.some(({ file, words }) => file === path && words.includes(word)),
    );
    expect(wrong.map(({ path, line, word }) => `src/${path}:${line} ${word}`)).toEqual([]);
  });

  it('are exempted only where they really appear', () => {
    const stale = ALLOWED.flatMap(({ file, words }) =>
      words
        .filter((word) => names.has(word))
        .filter((word) => !all.some((found) => found.path === file && found.word === word))
        .map((word) => `${file}: ${word}`),
    );
    expect(stale).toEqual([]);
  });

  it('are imported by nothing outside src/families', () => {
    const own = families.map(({ name }) => `/families/${name}.ts`);
    const importers = files.filter((path) =>
      ts
        .preProcessFile(readFileSync(join(source, path), 'utf8'), true, true)
        .importedFiles.some(({ fileName }) => own.some((file) => fileName.endsWith(file))),
    );
    expect(importers).toEqual([]);
  });
});

it('the list of unsupported architectures names no supported family', () => {
  for (const { modelType } of families) expect(unsupportedKind({}, modelType), modelType).toBeUndefined();
});
