import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSafetensors } from '../src/checkpoint/safetensors/safetensors-file.ts';
import { FileSource } from '../src/files/file.node.ts';
import type { TapOptions } from '../src/generation/taps/taps.ts';
import { findChromium, openPage } from './helpers/browser.node.ts';
import type { BrowserPage } from './helpers/browser-page.ts';
import { FAMILIES } from './helpers/families.ts';
import { comparisons, relativeError, TAP_OPTIONS, tapReference } from './helpers/tap-references.ts';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** Bundles for browsers: a Node built-in that is reached anywhere is an error. */
async function bundle(entry: string, external: string[] = []): Promise<string> {
  const result = await build({
    entryPoints: [path(entry)],
    bundle: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2023',
    external,
    write: false,
    logLevel: 'silent',
  });
  expect(result.warnings).toEqual([]);
  return result.outputFiles[0]!.text;
}

describe('the core entry point', () => {
  it('bundles into one browser module, without Node modules or the engine', async () => {
    const text = await bundle('../src/core.ts');
    expect(text).not.toMatch(/^\s*import\b|\brequire\(/m);
    expect(text).not.toMatch(/onnxruntime-(node|web)\/dist|\.node"/);
  });
});

const chromium = findChromium();
if (!chromium) {
  console.log(
    'skipped: no Chromium is installed, so nothing is run in a browser; CHROMIUM_PATH can name one',
  );
}

/** The page's own, reached by its import map. */
const ENGINES = ['onnxruntime-web/wasm', 'onnxruntime-web/webgpu'];

/** Runs in the page: the globals are the page's. */
type PageGlobals = { ropewalk: BrowserPage };

function largest(values: ArrayLike<number>): number {
  let max = 0;
  for (let i = 0; i < values.length; i++) max = Math.max(max, Math.abs(values[i]!));
  return max;
}

const difference = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  expect(a.length).toBe(b.length);
  return Float64Array.from(a, (value, i) => value - b[i]!);
};
const norm = (values: ArrayLike<number>) => Math.hypot(...Array.from(values));

describe.runIf(chromium)('Ropewalk in a browser on onnxruntime-web', () => {
  let opened: Awaited<ReturnType<typeof openPage>>;
  beforeAll(async () => {
    const program = await bundle('helpers/browser-page.ts', ENGINES);
    opened = await openPage(chromium!, program);
    await opened.page.waitForFunction(() => 'ropewalk' in globalThis, undefined, { timeout: 180_000 });
  });
  afterAll(() => opened?.close());

  it('runs where WebAssembly threads are allowed', async () => {
    expect(
      await opened.page.evaluate(() => (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated),
    ).toBe(true);
  });

  describe.each(FAMILIES)('with %s', (name) => {
    const folder = path(`reference/${name}`);
    const json = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8')) as {
      loss: number;
      curve: { losses: number[] };
    };
    const opening = (async () => openSafetensors(await FileSource.open(`${folder}/expected.safetensors`)))();
    afterAll(async () => (await opening).close());

    it('shows the values of transformers inside the model', async () => {
      const reference = await tapReference(name);
      const actual = await opened.page.evaluate(
        ([name, ids, options]) => (globalThis as unknown as PageGlobals).ropewalk.taps(name, ids, options),
        [name, Array.from(reference.ids), TAP_OPTIONS] as [string, number[], TapOptions],
      );
      for (const { name: value, kind, key } of comparisons(reference.layers)) {
        const error = relativeError(actual[kind][value]!, reference.values.get(key)!);
        expect(error, `${kind} ${value}`).toBeLessThan(kind === 'gradients' ? 1e-4 : 2e-5);
      }
    });

    it('gives the loss and the gradients of PyTorch in float64', async () => {
      const actual = await opened.page.evaluate(
        (name) => (globalThis as unknown as PageGlobals).ropewalk.gradients(name),
        name,
      );
      const expected = await opening;
      expect(Math.abs(actual.loss - json.loss)).toBeLessThan(1e-5 * Math.abs(json.loss));
      const exact = new Map<string, Float32Array>();
      for (const parameter of Object.keys(actual.gradients)) {
        exact.set(parameter, await expected.readFloat32(`grad.${parameter}`));
      }
      const count = [...expected.tensors.keys()].filter((tensor) => tensor.startsWith('grad.')).length;
      expect(exact.size).toBe(count);
      const total = Math.hypot(...[...exact.values()].map(norm));
      for (const [parameter, wanted] of exact) {
        const error = norm(difference(actual.gradients[parameter]!, wanted));
        expect(error, parameter).toBeLessThanOrEqual(1e-4 * norm(wanted) + 1e-7 * total);
      }
    });

    it("follows PyTorch's AdamW for three steps", async () => {
      const losses = await opened.page.evaluate(
        (name) => (globalThis as unknown as PageGlobals).ropewalk.curve(name, 4),
        name,
      );
      // The fourth loss is that after three steps.
      for (const [step, loss] of losses.entries()) {
        expect(Math.abs(loss - json.curve.losses[step]!), `step ${step}`).toBeLessThan(1e-4);
      }
    });

    it('gives the logits of transformers, at once and through the cache', async () => {
      const { full, cached } = await opened.page.evaluate(
        (name) => (globalThis as unknown as PageGlobals).ropewalk.logits(name, 5),
        name,
      );
      const all = await (await opening).readFloat32('logits');
      const wanted = all.subarray(0, all.length / 2);
      for (const actual of [full, cached]) {
        expect(largest(difference(actual, wanted))).toBeLessThanOrEqual(2e-5 * largest(all));
      }
    });
  });

  it('has printed no error to the console', () => {
    expect(opened.complaints).toEqual([]);
  });
});

describe.runIf(chromium)('Ropewalk in a browser on software WebGPU', () => {
  let opened: Awaited<ReturnType<typeof openPage>>;
  beforeAll(async () => {
    const program = await bundle('helpers/browser-page.ts', ENGINES);
    opened = await openPage(chromium!, program, { webgpu: true });
    await opened.page.waitForFunction(() => 'ropewalk' in globalThis, undefined, { timeout: 180_000 });
  });
  afterAll(() => opened?.close());

  // Soft-caps, windows, RMSNorm, GeGLU and grouped queries in one.
  it('gives the logits of transformers, at once and through the cache: gemma2', async () => {
    const { full, cached } = await opened.page.evaluate(
      (name) => (globalThis as unknown as PageGlobals).ropewalk.logits(name, 5),
      'gemma2',
    );
    const expected = await openSafetensors(
      await FileSource.open(path('reference/gemma2/expected.safetensors')),
    );
    const all = await expected.readFloat32('logits');
    await expected.close();
    for (const actual of [full, cached]) {
      expect(largest(difference(actual, all.subarray(0, all.length / 2)))).toBeLessThanOrEqual(
        1e-3 * largest(all),
      );
    }
  });

  // verify/webgpu-browser.txt has 50 steps.
  it('trains on the device as on WebAssembly, where only ids and masks go up: llama', async () => {
    const found = await opened.page.evaluate(() =>
      (globalThis as unknown as PageGlobals).ropewalk.trainBeside(
        { preset: 'llama/tiny', memory: 'fast', accumulate: 1 },
        2,
      ),
    );
    expect(found.loss).toBeLessThanOrEqual(1e-4);
    expect(found.norm).toBeLessThanOrEqual(1e-4);
    expect(found.weights).toBeLessThanOrEqual(1e-3);
    expect(found['held-out loss']).toBeLessThanOrEqual(1e-4);
    expect(found['bytes beyond ids and masks']).toBeLessThanOrEqual(1024);
    expect(found.resumed).toBe(true);
    expect(found.refused).toBe(true);
    expect(opened.complaints).toEqual([]);
  }, 300_000);
});
