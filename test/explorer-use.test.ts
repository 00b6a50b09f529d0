import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { exportGguf } from '../src/export/gguf.node.ts';
import { findChromium } from './helpers/browser.node.ts';
import { OpenExplorer } from './helpers/explorer.node.ts';
import { saveUntrained } from './helpers/models.node.ts';

const chromium = findChromium();
if (!chromium) {
  console.log('skipped: no Chromium is installed, so the explorer is not used; CHROMIUM_PATH can name one');
}

// A busy machine takes its time; nothing here is measured.
vi.setConfig({ testTimeout: 150_000 });

/** Words in an order that only a longer memory than a bigram's knows. */
const WORDS = ['hemp', 'yarn', 'tar', 'strand', 'walk', 'rope', 'sail', 'mast'];
const LINE = Array.from({ length: 96 }, (_, i) => WORDS[((i * i + 3 * i) % 7) ^ (i % 5 === 0 ? 1 : 0)]).join(
  ' ',
);
const OWN_TEXT = `${LINE}.\n`.repeat(60);

describe.runIf(chromium)('the explorer in use', () => {
  let explorer: OpenExplorer;
  beforeAll(async () => {
    explorer = await OpenExplorer.open(chromium!, async (folder) => {
      const paths = ['gemma2', 'llama'].map((name) => join(folder, name));
      for (const path of paths) await saveUntrained(path, {}, `${path.slice(folder.length + 1)}/tiny`);
      return paths;
    });
  }, 120_000);
  afterAll(() => explorer?.close());

  const addressHas = (part: string) => explorer.page.waitForURL(({ hash }) => hash.includes(part));

  /** Goes on with Tab until an element is reached. */
  async function tabTo(selector: string): Promise<void> {
    const { page } = explorer;
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab');
      if (await page.evaluate(`document.activeElement.matches(${JSON.stringify(selector)})`)) return;
    }
    throw new Error(`Tab does not reach ${selector}`);
  }

  it('reaches every view by keyboard alone', async () => {
    const { page } = explorer;
    await explorer.visit('run?lang=en');
    for (const [view, name] of Object.entries({
      ...{ compare: 'Compare', parts: 'Parts', train: 'Train', ablation: 'Ablation' },
      ...{ estimate: 'Estimate', open: 'Open', run: 'Run' },
    })) {
      await tabTo(`nav a[href^="#/${view}"]`);
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
      await addressHas(`#/${view}?lang=en`);
    }
    await page.reload();
    await page.waitForSelector('h1');
    await tabTo('.skip');
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.activeElement.id')).toBe('view');
  });

  it('changes language and colors by keyboard, and keeps them from view to view', async () => {
    const { page } = explorer;
    await explorer.visit('open?lang=en');
    await page.getByRole('radio', { name: 'English' }).focus();
    await page.keyboard.press('ArrowRight');
    await page.getByRole('heading', { level: 1, name: '열기' }).waitFor();
    await page.getByRole('radio', { name: '밝게' }).focus();
    await page.keyboard.press('ArrowRight');
    await addressHas('theme=dark');
    await page.getByRole('link', { name: '견적' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: '견적' }).waitFor();
    expect(
      await page.evaluate('[document.documentElement.lang, document.documentElement.dataset.theme]'),
    ).toEqual(['ko', 'dark']);
  });

  it('turns the discs of RoPE by arrow keys, without asking the thread for anything', async () => {
    const { page } = explorer;
    await explorer.visit('parts?part=rope&q=5&k=5&lang=en');
    await page.getByText('Distance 0.').waitFor();
    await page.evaluate(`{
      const call = ropewalk.call.bind(ropewalk);
      globalThis.calls = 0;
      ropewalk.call = (...given) => { globalThis.calls++; return call(...given); };
      const replace = history.replaceState.bind(history);
      globalThis.addresses = 0;
      history.replaceState = (...given) => { globalThis.addresses++; replace(...given); };
    }`);
    await tabTo('.discs');
    for (let i = 0; i < 20; i++) await page.keyboard.press('ArrowRight');
    await page.getByText('Distance 20.').waitFor();
    await page.keyboard.press('PageDown');
    await page.getByText('Distance 10.').waitFor();
    await page.keyboard.press('End');
    await page.getByText('Distance 122.').waitFor();
    await addressHas('q=127');
    const [calls, addresses] = (await page.evaluate('[calls, addresses]')) as [number, number];
    expect(calls).toBe(0);
    expect(addresses).toBeLessThan(23);
  });

  it.each([
    ['activation', 'Layer', 'layer=1', 'ArrowRight'],
    ['norm', 'Layer', 'layer=1', 'ArrowRight'],
    ['cap', 'Cap', 'cap=', 'ArrowLeft'],
    // It starts at the model's longest.
    ['cache', 'Context', 'context=', 'ArrowLeft'],
  ])('moves the slider of part %s by keyboard', async (part, label, address, key) => {
    const { page } = explorer;
    await explorer.visit(`parts?part=${part}&model=gemma2&lang=en`);
    await page.getByLabel(label, { exact: true }).first().waitFor();
    await page.getByLabel(label, { exact: true }).first().focus();
    await page.keyboard.press(key);
    await addressHas(address);
    expect(await page.locator('.error').count()).toBe(0);
  });

  it('chooses a part by arrow keys', async () => {
    const { page } = explorer;
    await explorer.visit('parts?part=cap&model=gemma2&lang=en');
    await page.locator('.chooser input:checked').focus();
    await page.keyboard.press('ArrowRight');
    await addressHas('part=heads');
    await page.locator('.sharing .key').first().waitFor({ state: 'attached' });
  });

  it('estimates for other sizes by keyboard', async () => {
    const { page } = explorer;
    await explorer.visit('estimate?model=gemma2/tiny&context=64&lang=en');
    await page.waitForSelector('.estimates[aria-busy=false]');
    await page.getByLabel('Rows of a step').focus();
    await page.keyboard.press('ArrowRight');
    await addressHas('batch=2');
    await page.getByLabel('Model', { exact: true }).selectOption('gpt/tiny');
    await page.locator('.estimates[aria-busy=false] th', { hasText: 'gpt/tiny' }).waitFor();
  });

  it('opens a folder and a GGUF file, and says what is wrong with others', async () => {
    const { page, folder } = explorer;
    await explorer.visit('open?lang=en');
    const [folders, files] = [
      page.locator('input[webkitdirectory]'),
      page.locator('input:not([webkitdirectory])[type=file]'),
    ];
    await folders.setInputFiles(join(folder, 'gemma2'));
    await page.locator('.opened li').first().waitFor();
    expect(await page.locator('.opened li').first().innerText()).toContain('Gemma 2');
    const gguf = join(folder, 'llama.gguf');
    const source = await openModel(join(folder, 'llama'));
    await exportGguf(source, gguf, { type: 'q8_0' });
    await source.checkpoint.tensors.close();
    await files.setInputFiles(gguf);
    await page.locator('.opened li').nth(1).waitFor();
    const bytes = readFileSync(gguf);
    const wrong = [
      ['half.gguf', bytes.subarray(0, bytes.length / 2), /half\.gguf: /],
      ['noise.gguf', Buffer.from('GGUF but not really'), /noise\.gguf: /],
      ['config.json', Buffer.from('{"model_type": "mamba"}'), /safetensors/],
      ['pytorch_model.bin', Buffer.from('PK'), /pytorch_model\.bin may be a Python pickle/],
    ] as const;
    for (const [name, buffer, message] of wrong) {
      await files.setInputFiles({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(buffer) });
      await page.locator('.error', { hasText: message }).waitFor();
      expect(await page.locator('.error').innerText()).not.toContain('Unexpected');
    }
    await page.locator('.opened li').nth(1).getByRole('link', { name: 'Run it' }).focus();
    await page.keyboard.press('Enter');
    await page.waitForSelector('[aria-busy=false] .candidates tbody tr');
    expect(await page.locator('article h2').first().innerText()).toBe('llama.gguf');
  });

  it('opens a GGUF file and a folder that are dropped on it', async () => {
    const { page, folder } = explorer;
    await explorer.visit('open?lang=en');
    await page.waitForSelector('.drop');
    const box = (await page.locator('.drop').boundingBox())!;
    const devtools = await page.context().newCDPSession(page);
    const drop = async (path: string) => {
      const data = { items: [], files: [path], dragOperationsMask: 1 };
      const place = { x: box.x + box.width / 2, y: box.y + box.height / 2, data };
      for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
        await devtools.send('Input.dispatchDragEvent', { type, ...place });
      }
    };
    await drop(join(folder, 'llama.gguf'));
    await page.locator('.opened li', { hasText: 'llama.gguf' }).waitFor();
    await drop(join(folder, 'gemma2'));
    await page.locator('.opened li', { hasText: 'Gemma 2' }).waitFor();
    expect(await page.locator('.opened li').last().innerText()).toContain('gemma2');
    await devtools.detach();
  });

  it.each([
    ['more layers than any model has', { num_hidden_layers: 1e9 }, /"num_hidden_layers" must be at most/],
    ['no number of layers', { num_hidden_layers: 'many' }, /"num_hidden_layers" must be a whole number/],
    ['a family that there is not', { model_type: 'mamba' }, /mamba/],
    [
      'weights that are too large',
      { hidden_size: 8192, num_hidden_layers: 80 },
      /more than the 1\.2 GiB that the page opens/,
    ],
    ['weights that are not there', { num_hidden_layers: 5 }, /layers\.4/],
  ])('refuses a folder with %s, and goes on', async (_, changes, message) => {
    const { page, folder } = explorer;
    await explorer.visit('open?lang=en');
    const files = ['config.json', 'model.safetensors', 'tokenizer.json'].map((name) => ({
      ...{ name, mimeType: 'application/octet-stream' },
      buffer: readFileSync(join(folder, 'llama', name)),
    }));
    const config = { ...JSON.parse(files[0]!.buffer.toString()), ...changes };
    files[0]!.buffer = Buffer.from(JSON.stringify(config));
    await page.locator('input:not([webkitdirectory])[type=file]').setInputFiles(files);
    await page.locator('.error', { hasText: message }).waitFor();
    expect(await page.locator('.error').innerText()).not.toContain('Unexpected');
    await page.locator('input[webkitdirectory]').setInputFiles(join(folder, 'llama'));
    await page.locator('.opened li').waitFor();
    expect(await page.locator('.error').count()).toBe(0);
  });

  it('keeps more models than fit at once, and opens the first again', async () => {
    const { page, folder } = explorer;
    await explorer.visit('open?lang=en');
    for (let i = 1; i <= 6; i++) {
      await page.locator('input[webkitdirectory]').setInputFiles(join(folder, 'llama'));
      await page
        .locator('.opened li')
        .nth(i - 1)
        .waitFor();
    }
    await page.locator('.opened li').first().getByRole('link', { name: 'Run it' }).click();
    await page.waitForSelector('[aria-busy=false] .candidates tbody tr');
  });

  it('trains below the bigram loss, pauses, continues, and downloads the model', async () => {
    const { page } = explorer;
    await explorer.visit('train?family=llama&source=own&steps=160&lang=en');
    await page.getByLabel('Paste some text here').fill(OWN_TEXT);
    await page.getByRole('button', { name: 'Start' }).focus();
    await page.keyboard.press('Enter');
    await page.getByText(/step [1-9]\d* of 160/).waitFor();
    await page.getByRole('button', { name: 'Pause' }).focus();
    await page.keyboard.press('Enter');
    await page.locator('[data-phase=paused]').waitFor();
    await page.getByRole('button', { name: 'Go on' }).focus();
    await page.keyboard.press('Enter');
    await page.locator('[data-phase=done]').waitFor({ timeout: 240_000 });
    expect(await page.locator('.error').count()).toBe(0);
    await page.getByText(/Trains on WebAssembly .*: this browser offers no WebGPU/).waitFor();
    await page.getByText('below the bigram').waitFor();
    expect((await page.locator('blockquote').innerText()).length).toBeGreaterThan(20);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download as' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('llama-tiny-160.zip');
    const zip = unzipSync(readFileSync(await download.path()));
    const saved = join(explorer.folder, 'saved');
    for (const [name, data] of Object.entries(zip)) {
      mkdirSync(join(saved, dirname(name)), { recursive: true });
      writeFileSync(join(saved, name), data);
    }
    const model = await openModel(join(saved, 'llama-tiny-160'));
    await model.checkpoint.tensors.close();
    expect(model.family.name).toBe('llama');
    await page.getByRole('button', { name: 'Open it in the other views' }).click();
    await page.getByText('among the models of the other views').waitFor();
  }, 300_000);

  it('trains a model beside one in which a part is exchanged', async () => {
    const { page } = explorer;
    await explorer.visit('train?family=llama&exchange=norm%3DLayerNorm&source=own&steps=20&lang=en');
    await page.getByLabel('Paste some text here').fill(OWN_TEXT);
    await page.getByRole('button', { name: 'Start' }).focus();
    await page.keyboard.press('Enter');
    await page.locator('[data-phase=done]').waitFor({ timeout: 240_000 });
    const names = await page.locator('.progress h3').allInnerTexts();
    expect(names.map((name) => name.trim())).toEqual(['llama/tiny', 'llama/tiny+norm=LayerNorm']);
    expect(await page.locator('.progress', { hasText: 'step 20 of 20' }).count()).toBe(2);
    expect(await page.locator('.progress blockquote').count()).toBe(2);
    // The exchanged model is another one, and its file says so.
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download as' }).last().click(),
    ]);
    const zip = unzipSync(readFileSync(await download.path()));
    const [, config] = Object.entries(zip).find(([name]) => name.endsWith('/config.json'))!;
    const written = JSON.parse(new TextDecoder().decode(config));
    expect(written.model_type).toBe('ropewalk');
  });

  it('refuses a text that is too short to learn from, and trains on one of 100,000 characters', async () => {
    const { page } = explorer;
    await explorer.visit('train?family=gpt&source=own&steps=20&lang=en');
    await page.getByLabel('Paste some text here').fill('Too short.');
    await page.getByRole('button', { name: 'Start' }).click();
    await page
      .locator('.error', { hasText: /tokens, and at least \d+ are needed; paste a longer one/ })
      .waitFor();
    await page.getByLabel('Paste some text here').fill(OWN_TEXT.repeat(4).slice(0, 100_000));
    await page.getByRole('button', { name: 'Start' }).click();
    await page.locator('[data-phase=done]').waitFor({ timeout: 240_000 });
    expect(await page.locator('.error').count()).toBe(0);
    await page.getByText('step 20 of 20').waitFor();
  });

  it('has printed no error to the console', () => {
    expect(explorer.complaints).toEqual([]);
  });
});
