import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium as playwright } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generate } from '../examples/01-generate.ts';
import { chat } from '../examples/02-chat.ts';
import { trainTiny } from '../examples/03-train.ts';
import { tune } from '../examples/04-fine-tune.ts';
import { distillInto } from '../examples/05-distill.ts';
import { exportAll } from '../examples/06-export.ts';
import { look } from '../examples/07-taps.ts';
import { load } from '../src/node.ts';
import { findChromium, SWITCHES, serveFolder } from './helpers/browser.node.ts';

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
if (!chromium) console.log('skipped: no Chromium is installed, so examples/08-browser is not run');

describe.skipIf(!chromium)('the page 08-browser in Chromium', () => {
  it('continues a text with a model of the reader, as Node does, and reports what it cannot open', async () => {
    const site = join(folder, 'page');
    // As a bundler makes it of the two files, with this repository in place of the package.
    await build({
      root: path('../examples/08-browser'),
      resolve: { alias: { 'ropewalk/core': path('../src/core.ts') } },
      build: { outDir: site, emptyOutDir: true, target: 'es2023' },
      logLevel: 'error',
    });
    const server = await serveFolder(site);
    const browser = await playwright.launch({
      executablePath: chromium!,
      args: [...SWITCHES, '--disable-gpu'],
    });
    const complaints: string[] = [];
    try {
      const page = await browser.newPage();
      page.setDefaultTimeout(120_000);
      page.on('pageerror', (error) => complaints.push(String(error)));
      page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
      await page.goto(server.address);
      const status = page.getByRole('status');
      await page.locator('input[type=file]').setInputFiles(path('../docs'));
      await status.getByText('the folder has no config.json').waitFor();
      await page.locator('input[type=file]').setInputFiles(model);
      await status.getByText(/^.+, \d+ parameters$/).waitFor();
      await page.getByLabel('Text').fill('Call me');
      await page.getByRole('button', { name: 'Continue' }).click();
      await status.getByText('Done.').waitFor();
      const node = await load(model);
      let expected = 'Call me';
      const options = { maxTokens: 40, temperature: 0.8, seed: 1 };
      for await (const piece of node.generate('Call me', options)) expected += piece;
      await node.release();
      expect(await page.locator('output').textContent()).toBe(expected);
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
      server.close();
    }
  });
});
