import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { estimate, type FileFormat } from '../src/estimate/estimate.ts';
import { exportGguf } from '../src/export/gguf.node.ts';
import { exportHuggingFace } from '../src/export/hf.node.ts';
import { findPreset } from '../src/families/registry.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import { namedPreset } from '../src/inspect/named-model.ts';
import { buildProgram, start } from './helpers/cli.node.ts';
import { saveUntrained, scratch } from './helpers/models.node.ts';

/** What is measured may differ by 5 %. */
const share = (estimated: number, measured: number) => Math.abs(estimated / measured - 1);

/** verify/finetune-memory.txt: peak memory of whole processes, from the operating system, by model, mode and optimizer. */
function measuredMemory(): {
  model: string;
  mode: string;
  optimizer: string;
  states: string | undefined;
  peak: number;
}[] {
  const text = readFileSync(new URL('../verify/finetune-memory.txt', import.meta.url), 'utf8');
  let model = '';
  return text.split('\n').flatMap((line) => {
    model = /^([\w.-]+), 1x512 tokens/.exec(line)?.[1] ?? model;
    const row = /^(fast|recompute|light)\s+([a-z]+)(?::(\w+))?\s+([\d.]+)/.exec(line);
    if (!row) return [];
    const [, mode, optimizer, states, peak] = row;
    return [{ model, mode: mode!, optimizer: optimizer!, states, peak: 1e9 * Number(peak) }];
  });
}

/** SmolLM2-135M's shape. */
function smolLM2() {
  const { family, preset } = findPreset('llama/tiny')!;
  const sizes = { hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30, head_dim: 64 };
  const heads = { num_attention_heads: 9, num_key_value_heads: 3 };
  const config = { ...preset.config, ...sizes, ...heads, vocab_size: 49152, max_position_embeddings: 8192 };
  return { family, config, model: family.build(config) };
}

describe('the estimated memory of a fine-tuning step', () => {
  const rows = measuredMemory();
  it('is tested for at least ten combinations', () => expect(rows.length).toBeGreaterThanOrEqual(10));

  it.each(rows)('matches that of the process: $model, $mode, $optimizer $states', (row) => {
    const built = row.model.startsWith('SmolLM2') ? smolLM2() : namedPreset(row.model)!;
    const { training } = estimate(built, {
      ...{ context: 512, batch: 1, seq: 512 },
      optimizer: row.optimizer as 'adamw',
      ...(row.states && { states: row.states as 'float32' }),
    });
    expect(share(training[row.mode as 'fast'].total, row.peak)).toBeLessThan(0.05);
  });
});

describe('an estimate of memory and files', () => {
  const { folder, remove } = scratch('estimate');
  const path = join(folder, 'gemma2');
  beforeAll(() => saveUntrained(path, { vocab_size: 4096 }, 'gemma2/tiny'));
  afterAll(remove);

  it('counts every parameter once', () => {
    for (const name of ['gpt', 'gpt2', 'gemma', 'gemma2', 'llama', 'exaone4', 'hyperclovax']) {
      const model = namedPreset(name)!;
      const { parts, parameters } = estimate(model, { context: 128, seq: 128 });
      expect(Object.values(parts).reduce((sum, part) => sum + part, 0)).toBe(parameters);
      expect(parameters).toBe(model.model.parameterCount());
    }
  });

  it('is within 5 % of the written files', async () => {
    const source = await openModel(path);
    const { files } = estimate(source, { context: 128, seq: 128 });
    const sizes: Partial<Record<FileFormat, number>> = {};
    try {
      for (const type of ['f16', 'q8_0', 'q4_0'] as const) {
        const file = join(folder, `${type}.gguf`);
        await exportGguf(source, file, { type });
        sizes[`gguf ${type}`] = statSync(file).size;
      }
      for (const dtype of ['float32', 'bfloat16'] as const) {
        const out = join(folder, dtype);
        await exportHuggingFace(source, out, { dtype });
        sizes[dtype] = statSync(join(out, 'model.safetensors')).size;
      }
    } finally {
      await source.checkpoint.tensors.close();
    }
    for (const [format, size] of Object.entries(sizes)) {
      expect(share(files[format as FileFormat]!, size), format).toBeLessThan(0.05);
    }
  });

  it('is within 5 % of the real cache size, also past the window', async () => {
    const opened = await openModel(path);
    const decoder = await createDecoder(opened, { threads: 1 });
    await opened.checkpoint.tensors.close();
    for (const context of [24, 200]) {
      const cache = decoder.newCache();
      await decoder.forward(
        Int32Array.from({ length: context }, (_, i) => i % 200),
        cache,
      );
      const { cache: estimated } = estimate(opened, { context, seq: 128 });
      expect(share(estimated.float32, cache.heldBytes), `${context}`).toBeLessThan(0.05);
      expect(estimated.allGlobal).toBe(estimated.bytesPerToken * context);
    }
    await decoder.release();
  });

  it('refuses a context longer than the positions', () => {
    expect(() => estimate(namedPreset('llama/tiny')!, { context: 1000 })).toThrow(
      /a context of 1000 tokens is longer than the model's 256 positions; choose a smaller one/,
    );
  });

  it('is printed by the command', async () => {
    const program = await buildProgram('bin/ropewalk.js');
    const run = (...args: string[]) => start(program, ['estimate', ...args]).finished;
    const { stdout, code } = await run('gemma2/tiny', 'llama-3.2-1b', '--context', '2048', '--json');
    expect(code).toBe(0);
    const { models } = JSON.parse(stdout);
    // A context beyond a model's positions is stated at the last of them.
    expect(models.map(({ name, context }: { name: string; context: number }) => [name, context])).toEqual([
      ['gemma2/tiny', 256],
      ['llama-3.2-1b', 2048],
    ]);
    expect(models[1].parameters).toBe(1_235_814_400);
    const refused = await run('gemma2/tiny', '--optimizer', 'sgd', '--states', 'int8');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('--states: the optimizer sgd has no such option');
    expect((await run('gemma2/tiny', '--locale', 'ko')).stdout).toContain('파인튜닝 메모리');
  });
});
