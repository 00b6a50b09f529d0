import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium as playwright } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ModelInfo, TapsFound } from '../explorer/worker/protocol.ts';
import { buildSite } from '../src/explore/build-site.node.ts';
import { families } from '../src/families/registry.ts';
import { openTaps } from '../src/generation/taps/taps.node.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { findChromium, SWITCHES, serveFolder } from './helpers/browser.node.ts';
import { buildPage, OpenExplorer } from './helpers/explorer.node.ts';
import { saveUntrained } from './helpers/models.node.ts';

const chromium = findChromium();
if (!chromium) {
  console.log('skipped: no Chromium is installed, so the engines of the explorer are not tried');
}

// A busy machine takes its time; nothing here is measured.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 150_000 });

type PageGlobals = { ropewalk: { call(method: string, argument: unknown): Promise<unknown> } };

const TEXT = 'a ropewalk is a long straight lane';
/** Just long enough to learn from. */
const SOME_TEXT = Array.from(
  { length: 1800 },
  (_, i) => ['hemp', 'yarn', 'tar', 'rope'][((i * i) % 7) % 4],
).join(' ');
const WEBGPU = 'engine/ort.webgpu.min.mjs';
const WASM = 'engine/ort.wasm.min.mjs';

/** The engine's program, but for what it does in place of making a session: statements that may use `make()`. */
function tamper(explorer: OpenExplorer, name: string, create: string): void {
  const original = name.replace('.min', '.plain');
  explorer.files.set(original, explorer.files.get(original) ?? explorer.files.get(name)!);
  const content = `import * as ort from './${original.split('/')[1]}';
export const { Tensor, env } = ort;
let made = 0;
export const InferenceSession = {
  async create(...args) {
    const make = () => ort.InferenceSession.create(...args);
    ${create}
  },
};`;
  explorer.files.set(name, { content });
}

function restore(explorer: OpenExplorer): void {
  for (const name of [WEBGPU, WASM]) {
    const original = explorer.files.get(name.replace('.min', '.plain'));
    if (original) explorer.files.set(name, original);
  }
}

const open = (explorer: OpenExplorer, id: string) =>
  explorer.page.evaluate(
    (model) => (globalThis as unknown as PageGlobals).ropewalk.call('open', model) as Promise<ModelInfo>,
    id,
  );

describe.runIf(chromium)('the engine of the explorer', () => {
  let explorer: OpenExplorer;
  beforeAll(async () => {
    const save = async (folder: string) => {
      // Software compiles the programs of a graphics card slowly: one layer is enough here.
      await saveUntrained(join(folder, 'llama'), { num_hidden_layers: 1 });
      return [join(folder, 'llama')];
    };
    explorer = await OpenExplorer.open(chromium!, save, { webgpu: true });
  });
  afterEach(() => restore(explorer));
  afterAll(() => explorer?.close());

  it('is WebGPU where its logits agree with those of WebAssembly', async () => {
    const { page } = explorer;
    await explorer.visit(`run?model=llama&text=${encodeURIComponent(TEXT)}&lang=en`);
    await page.getByText('Runs on WebGPU: its logits are').waitFor();
    await page.locator('[aria-busy=false] .candidates tbody tr').first().waitFor();
    const { engine } = await open(explorer, 'llama');
    expect([engine.kind, engine.why]).toEqual(['webgpu', 'agrees']);
    expect(engine.difference).toBeLessThanOrEqual(1e-4);
    const found = await page.evaluate(async (text) => {
      const request = { model: 'llama', text, taps: ['logits'] };
      const { values, tokens } = (await (globalThis as unknown as PageGlobals).ropewalk.call(
        'tap',
        request,
      )) as TapsFound;
      return { logits: Array.from(values.logits!.data), ids: tokens.map(({ id }) => id) };
    }, TEXT);
    const path = join(explorer.folder, 'llama');
    const { runner, close } = await openTaps(path, { engine: nodeEngine({ threads: 1 }) });
    const { logits } = await runner.run(found.ids);
    await runner.release();
    await close();
    const largest = logits.data.reduce((most, logit) => Math.max(most, Math.abs(logit)), 0);
    const difference = logits.data.reduce(
      (most, logit, i) => Math.max(most, Math.abs(logit - found.logits[i]!)),
      0,
    );
    expect(difference / largest).toBeLessThan(1e-4);
  });

  it('is WebAssembly where the logits of WebGPU differ', async () => {
    tamper(
      explorer,
      WEBGPU,
      `const session = await make();
    const run = session.run.bind(session);
    session.run = async (...given) => {
      const results = await run(...given);
      for (const { data } of Object.values(results)) if (data instanceof Float32Array) data[3] += 0.01;
      return results;
    };
    return session;`,
    );
    await explorer.visit(`run?model=llama&text=${encodeURIComponent(TEXT)}&lang=en`);
    await explorer.page
      .getByText(/Runs on WebAssembly with 2 threads: WebGPU’s logits differ by \d\.\de-\d of the largest/)
      .waitFor();
    expect((await open(explorer, 'llama')).engine).toMatchObject({ kind: 'wasm', why: 'differs' });
  });

  it.each([
    [
      'gives logits that are no numbers',
      'const session = await make(); session.run = async () => ({ logits: { data: new Float32Array(12 * 300).fill(NaN), dims: [12, 300] } }); return session;',
      'differs',
    ],
    ['makes no session', 'throw new Error("no such kernel");', 'failed'],
  ])('is WebAssembly where WebGPU %s', async (_, create, why) => {
    tamper(explorer, WEBGPU, create);
    await explorer.visit(`run?model=llama&text=${encodeURIComponent(TEXT)}&lang=en`);
    await explorer.page.locator('[aria-busy=false] .candidates tbody tr').first().waitFor();
    expect((await open(explorer, 'llama')).engine).toMatchObject({ kind: 'wasm', why });
  });

  it('changes to WebAssembly when WebGPU fails later, as when its device is lost', async () => {
    // The first session is the check's.
    tamper(explorer, WEBGPU, `if (made++ > 0) throw new Error("the device was lost"); return make();`);
    await explorer.visit(`run?model=llama&text=${encodeURIComponent(TEXT)}&lang=en`);
    await explorer.page.locator('[aria-busy=false] .candidates tbody tr').first().waitFor();
    expect(await explorer.page.locator('.error').count()).toBe(0);
    expect((await open(explorer, 'llama')).engine).toMatchObject({
      kind: 'wasm',
      why: 'failed',
      problem: expect.stringContaining('the device was lost'),
    });
  });

  it('says when memory ends, and works on', async () => {
    const { page } = explorer;
    tamper(explorer, WEBGPU, 'throw new Error("no WebGPU in this test");');
    tamper(
      explorer,
      WASM,
      `if (!(await caches.has('full'))) {
      await caches.open('full');
      throw new Error('failed to allocate a buffer of size 1073741824: std::bad_alloc');
    }
    return make();`,
    );
    await explorer.visit(`run?model=llama&text=${encodeURIComponent(TEXT)}&lang=en`);
    await page.getByText('The memory of the page was not enough for this.').first().waitFor();
    await page.getByLabel('Text').fill('a rope');
    await page.locator('[aria-busy=false] .candidates tbody tr').first().waitFor();
    expect(await page.locator('.error').count()).toBe(0);
  });

  describe('when it trains', () => {
    const start = async (device: string) => {
      const { page } = explorer;
      await explorer.visit(`train?family=llama&source=own&steps=20&lang=en&device=${device}`);
      await page.getByLabel('Paste some text here').fill(SOME_TEXT);
      await page.getByRole('button', { name: 'Start' }).click();
    };
    /** The held-out loss at the end. */
    const end = async () => {
      const { page } = explorer;
      await page.locator('[data-phase=done]').waitFor();
      expect(await page.locator('.error').count()).toBe(0);
      await page.getByText('step 20 of 20').waitFor();
      return Number(await page.locator('.progress strong').innerText());
    };

    it('stays on WebGPU until the device is lost, then goes on from there on WebAssembly', async () => {
      const { page } = explorer;
      await start('auto');
      await page.getByText(/Trains on WebAssembly .*: WebGPU computes in software here/).waitFor();
      const expected = await end();
      tamper(
        explorer,
        WEBGPU,
        `if (made++ === 0) new BroadcastChannel('lose').onmessage = async () => (await ort.env.webgpu.device).destroy();
        return make();`,
      );
      await start('webgpu');
      const line = page.locator('.device');
      await line.waitFor();
      const [, difference] = /Trains on WebGPU.* to (\S+)\.$/.exec(await line.innerText())!;
      expect(Number(difference)).toBeLessThanOrEqual(1e-4);
      await page.getByText(/step [1-9]\d* of 20/).waitFor();
      await page.getByRole('button', { name: 'Pause' }).click();
      await page.locator('[data-phase=paused]').waitFor();
      const [, step] = /step (\d+) of 20/.exec(await page.locator('.progress').innerText())!;
      await explorer.screenshot('train-webgpu-en');
      await page.evaluate("new BroadcastChannel('lose').postMessage('now')");
      await page.getByRole('button', { name: 'Go on' }).click();
      await page
        .getByText(/Trains on WebAssembly .*, from step \d+ on: the graphics card stopped or was taken away/)
        .waitFor();
      const [, since] = /from step (\d+) on/.exec(await line.innerText())!;
      expect(Number(since)).toBeGreaterThanOrEqual(Number(step));
      expect(Math.abs((await end()) - expected)).toBeLessThanOrEqual(2e-3);
    });

    it.each([
      [
        'has too little memory',
        "GPUDevice.prototype.popErrorScope = async () => ({ message: 'no room' }); return make();",
        'the graphics card has too little memory',
      ],
      ['makes no session', 'throw new Error("no such kernel");', 'WebGPU fails here \\(no such kernel\\)'],
    ])('is WebAssembly where WebGPU %s', async (_, create, reason) => {
      tamper(explorer, WEBGPU, create);
      await start('webgpu');
      await explorer.page.getByText(new RegExp(`Trains on WebAssembly with 2 threads: ${reason}`)).waitFor();
      await end();
    });
  });

  it('has printed nothing to the console but what was made to fail', () => {
    expect(explorer.complaints.filter((text) => !/lost|kernel|in this test|bad_alloc/.test(text))).toEqual(
      [],
    );
  });
});

describe.runIf(chromium)('the explorer as a folder, on a plain web server', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ropewalk-site-'));
  let server: Awaited<ReturnType<typeof serveFolder>>;
  let browser: Browser;
  beforeAll(async () => {
    const paths: string[] = [];
    for (const { name } of families) {
      paths.push(join(folder, 'models', name));
      await saveUntrained(paths.at(-1)!, {}, `${name}/tiny`);
    }
    mkdirSync(join(folder, 'site'));
    buildPage(join(folder, 'page'));
    // Below a path, as project pages are.
    await buildSite(join(folder, 'site', 'ropewalk'), paths, join(folder, 'page'));
    server = await serveFolder(join(folder, 'site'));
    browser = await playwright.launch({ executablePath: chromium!, args: [...SWITCHES, '--disable-gpu'] });
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('runs every family on one thread', async () => {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    await page.goto(`${server.address}ropewalk/#/run?text=a+rope&lang=en`);
    await page.locator('[aria-busy=false] .candidates tbody tr').first().waitFor({ timeout: 120_000 });
    expect(await page.evaluate('[crossOriginIsolated, typeof SharedArrayBuffer]')).toEqual([
      false,
      'undefined',
    ]);
    await page.getByText('Runs on WebAssembly with one thread: this browser offers no WebGPU.').waitFor();
    const names = await page.getByLabel('Model').locator('option').allTextContents();
    expect(names.sort()).toEqual(families.map(({ name }) => name).sort());
    for (const { name } of families) {
      await page.getByLabel('Model').selectOption(name);
      await page.locator(`[data-model="${name}"][aria-busy=false] .candidates tbody tr`).first().waitFor();
    }
    expect(await page.locator('.error').count()).toBe(0);
    expect(complaints).toEqual([]);
  });
});
