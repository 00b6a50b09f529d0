import type { NamedModel } from '../../../src/inspect/named-model.ts';
import { summarize } from '../../../src/inspect/summary.ts';

/** The lines that run a part: the very files of the library, read when the page is built. */

interface SourceFile {
  readonly path: string;
  readonly load: () => Promise<{ default: string }>;
}

const file = (path: string, load: SourceFile['load']): SourceFile => ({ path, load });

const FILES = {
  norm: file('src/nn/norm.ts', () => import('../../../src/nn/norm.ts?raw')),
  positions: file('src/nn/positions.ts', () => import('../../../src/nn/positions.ts?raw')),
  rotary: file('src/graph/operators/rotary.ts', () => import('../../../src/graph/operators/rotary.ts?raw')),
  attention: file('src/nn/attention.ts', () => import('../../../src/nn/attention.ts?raw')),
  mlp: file('src/nn/mlp.ts', () => import('../../../src/nn/mlp.ts?raw')),
  embedding: file('src/nn/embedding.ts', () => import('../../../src/nn/embedding.ts?raw')),
  head: file('src/generation/decoder.ts', () => import('../../../src/generation/decoder.ts?raw')),
  softcap: file(
    'src/graph/operators/softcap.ts',
    () => import('../../../src/graph/operators/softcap.ts?raw'),
  ),
} as const;

export interface Excerpt {
  readonly path: string;
  /** Number of the first line, from 1. */
  readonly line: number;
  readonly text: string;
}

/** Where a part's lines are: in which file, and how they begin; the second within what begins with the first. */
function placeOf(slot: string, model: NamedModel): [keyof typeof FILES, ...string[]] | undefined {
  const { norm, position } = summarize(model, model.name);
  if (slot.includes('norm')) return ['norm', `export class ${norm.kind}`];
  const added = position?.kind === 'learned' ? 'LearnedPositions' : 'SinusoidalPositions';
  const places: Readonly<Record<string, [keyof typeof FILES, ...string[]]>> = {
    embedding: ['embedding', 'export class Embedding'],
    'added positions': ['positions', `export class ${added}`],
    'turned positions': ['positions', 'export class RotaryEmbedding', '  table('],
    attention: ['attention', 'export class FullSequence', '  attend('],
    mlp: ['mlp', 'export class Mlp', '  forward('],
    head: ['head', 'export function logitsOf'],
    'final cap': ['softcap', 'export const'],
  };
  return places[slot];
}

export async function sourceOf(slot: string, model: NamedModel): Promise<Excerpt | undefined> {
  const place = placeOf(slot, model);
  if (!place) return undefined;
  const [name, ...starts] = place;
  const { path, load } = FILES[name];
  return excerpt(path, (await load()).default, starts);
}

/** A declaration with the comment above it, down to the line that closes it. */
export function excerpt(path: string, text: string, starts: readonly string[]): Excerpt | undefined {
  const lines = text.split('\n');
  let at = -1;
  for (const start of starts) {
    at = lines.findIndex((line, i) => i > at && line.startsWith(start));
    if (at < 0) return undefined;
  }
  const indent = /^ */.exec(lines[at]!)![0];
  const isEnd = (line: string) => new RegExp(`^${indent}\\}?[)\\]}]*;?$`).test(line) && line.trim() !== '';
  let end = lines.findIndex((line, i) => i > at && isEnd(line));
  if (end < 0) end = lines.length - 1;
  let first = at;
  while (first > 0 && /^\s*(\/\*\*|\*|\/\/)/.test(lines[first - 1]!)) first--;
  const part = lines.slice(first, end + 1).map((line) => line.slice(indent.length));
  return { path, line: first + 1, text: part.join('\n') };
}
