import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openModel } from '../../src/checkpoint/load.node.ts';
import { saveModelDirectory } from '../../src/checkpoint/save.node.ts';
import { initializeWeights } from '../../src/families/initialize.ts';
import { Random } from '../../src/random.ts';
import type { MemoryMode } from '../../src/training/create-learner.ts';
import type { Case } from './cases.ts';
import type { Entrant } from './contender.ts';

export interface Rivals {
  /** This repository's bench folder: a bundle's location does not reveal it. */
  readonly bench: string;
  readonly threads: number;
  /** A Python with PyTorch and transformers; empty for none. */
  readonly python: string;
  /** Whether it has a C++ compiler for torch.compile. */
  readonly compile: boolean;
  /** Folders where they are installed. */
  readonly tfjs: string | undefined;
  readonly jax: string | undefined;
}

/** Writes a case's random weights once. @returns the model directory. */
export async function modelOf({ name, family, config }: Case, work: string): Promise<string> {
  const folder = join(work, `${name}-f32`);
  if (existsSync(join(folder, 'config.json'))) {
    await (await openModel(folder)).checkpoint.tensors.close();
    return folder;
  }
  mkdirSync(work, { recursive: true });
  const parameters = family.build(config).parameters();
  const values = new Map([...parameters].map(([path, { size }]) => [path, new Float32Array(size)]));
  initializeWeights(parameters, values, new Random(0));
  const tensors = [...values].map(([path, data]) => ({
    name: path,
    shape: parameters.get(path)!.shape,
    data,
  }));
  await saveModelDirectory(folder, { config: family.writeConfig(config), tensors });
  return folder;
}

export function ropewalk(
  each: Case,
  model: string,
  mode: MemoryMode | 'products',
  { threads, bench }: Rivals,
): Entrant {
  const { batch, seq } = each;
  const settings = JSON.stringify({ model, batch, seq, mode, threads });
  return {
    name: mode === 'products' ? 'bare products' : `Ropewalk ${mode}`,
    command: process.execPath,
    args: [join(bench, '../scripts/run-ts.js'), join(bench, 'training/ropewalk.ts'), settings],
  };
}

function pytorch(each: Case, model: string, rivals: Rivals, name: string, args: readonly string[]): Entrant {
  const { threads, python } = rivals;
  const rows = ['--batch', String(each.batch), '--seq', String(each.seq), '--threads', String(threads)];
  return {
    name: `PyTorch ${name}`,
    command: python,
    args: [join(rivals.bench, 'rivals/pytorch_train.py'), '--model', model, ...rows, ...args],
    environment: { OMP_NUM_THREADS: String(threads) },
  };
}

/**
 * The measured PyTorch settings. `sdpa` attention is omitted where it would change the family's model: it has no cap
 * (Gemma 2), or transformers does not support it (GPT, as CTRL).
 */
export function pytorchEntrants(each: Case, model: string, rivals: Rivals): Entrant[][] {
  if (rivals.python === '') return [];
  const make = (name: string, args: readonly string[]) => pytorch(each, model, rivals, name, args);
  const attention = ['gemma2', 'gpt'].includes(each.family.name) ? 'eager' : 'sdpa';
  const best = ['--attn', attention, '--optimizer', 'fused'];
  const short = attention === 'sdpa' ? 'sdpa' : 'plain attention';
  const groups = [
    [
      make('eager, defaults', ['--attn', attention, '--optimizer', 'default']),
      make(`eager, ${short}, fused AdamW`, best),
    ],
    ...(rivals.compile ? [[make(`compiled, ${short}, fused AdamW`, [...best, '--compile'])]] : []),
    [make(`bfloat16, ${short}, fused AdamW`, [...best, '--dtype', 'bfloat16'])],
  ];
  if (rivals.compile) {
    groups
      .at(-1)!
      .push(make('bfloat16, compiled, fused AdamW', [...best, '--dtype', 'bfloat16', '--compile']));
  }
  return groups;
}

/** JavaScript libraries with WebAssembly. Their step is written by hand, only for Llama. */
export function scriptEntrants(each: Case, model: string, rivals: Rivals): Entrant[] {
  if (each.family.name !== 'llama') return [];
  const { batch, seq } = each;
  const entrant = (name: string, script: string, folder: string): Entrant => ({
    name,
    command: process.execPath,
    args: [
      join(rivals.bench, 'rivals', script),
      JSON.stringify({ folder, model, batch, seq, threads: rivals.threads }),
    ],
  });
  return [
    ...(rivals.tfjs ? [entrant('TensorFlow.js, WebAssembly', 'tfjs-train.mjs', rivals.tfjs)] : []),
    ...(rivals.jax ? [entrant('jax-js, WebAssembly', 'jax-train.mjs', rivals.jax)] : []),
  ];
}
