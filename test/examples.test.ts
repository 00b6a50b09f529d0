import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generate } from '../examples/01-generate.ts';
import { chat } from '../examples/02-chat.ts';
import { trainTiny } from '../examples/03-train.ts';
import { tune } from '../examples/04-fine-tune.ts';
import { distillInto } from '../examples/05-distill.ts';
import { exportAll } from '../examples/06-export.ts';
import { look } from '../examples/07-taps.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import { generateTokens } from '../src/generation/generate.ts';
import { openModel } from '../src/node.ts';
import { findChromium, openPage } from './helpers/browser.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-examples-'));
const model = join(folder, 'tiny');
const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
let loss: number;

beforeAll(async () => {
  loss = await trainTiny(model, 30);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the example', () => {
  it('03-train gives a model that beats guessing', () => {
    expect(loss).toBeLessThan(Math.log(300));
    expect(existsSync(join(model, 'model.safetensors'))).toBe(true);
  });

  it('01-generate continues a text', async () => {
    const pieces: string[] = [];
    await generate(model, 'Call me', (piece) => pieces.push(piece));
    expect(pieces.join('').length).toBeGreaterThan(10);
  });

  it('04-fine-tune lowers the loss, and 02-chat talks to the result', async () => {
    const tuned = join(folder, 'tuned');
    const losses = await tune(model, tuned, 12);
    expect(losses).toHaveLength(12);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    const messages = await chat(tuned, ['Who are you?', 'Why?']);
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant']);
  });

  it('05-distill brings a student nearer to its teacher', async () => {
    const losses = await distillInto(model, join(folder, 'student'), 20);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
  });

  it('06-export writes all three formats', async () => {
    const out = join(folder, 'exported');
    await exportAll(model, out);
    for (const name of ['hf/model.safetensors', 'onnx/onnx/model.onnx', 'model.gguf']) {
      expect(existsSync(join(out, name)), name).toBe(true);
    }
  });

  it('07-taps returns probabilities that sum to 1, and a gradient of each token', async () => {
    const { probabilities, gradient } = await look(model, 'Call me Ishmael');
    const tokens = probabilities.shape.at(-1)!;
    const first = Array.from(probabilities.data).slice(0, tokens);
    expect(first.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
    expect(gradient.data.some((value) => value !== 0)).toBe(true);
  });
});

const chromium = findChromium();
if (!chromium) console.log('skipped: no Chromium is installed, so examples/08-browser.ts is not run');

describe.skipIf(!chromium)('the example 08-browser in Chromium', () => {
  it('computes the ids that Node computes', async () => {
    const { outputFiles } = await build({
      entryPoints: [path('../examples/08-browser.ts')],
      bundle: true,
      platform: 'browser',
      format: 'esm',
      target: 'es2023',
      alias: { ropewalk: path('../src/core.ts') },
      external: ['onnxruntime-web/wasm'],
      write: false,
      logLevel: 'silent',
    });
    const opened = await openPage(chromium!, outputFiles[0]!.text);
    try {
      const ids = await opened.page.evaluate(async () => {
        const page = globalThis as { generateInPage?: (...args: unknown[]) => Promise<number[]> };
        while (!page.generateInPage) await new Promise((resolve) => setTimeout(resolve, 20));
        return page.generateInPage('/reference/llama', [5, 17, 9], 6);
      });
      const source = await openModel(path('reference/llama'));
      const decoder = await createDecoder(source);
      const expected: number[] = [];
      const options = { maxTokens: 6, greedy: true, stopTokens: [] };
      for await (const id of generateTokens(decoder, [5, 17, 9], options)) expected.push(id);
      await decoder.release();
      await source.checkpoint.tensors.close();
      expect(ids).toEqual(expected);
    } finally {
      await opened.close();
    }
  });
});
