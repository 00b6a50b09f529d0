import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { TapsFound } from '../explorer/worker/protocol.ts';
import { estimate } from '../src/estimate/estimate.ts';
import { estimateRows } from '../src/estimate/rows.ts';
import { families } from '../src/families/registry.ts';
import { openTaps } from '../src/generation/taps/taps.node.ts';
import { namedPreset } from '../src/inspect/named-model.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.node.ts';
import { madeUpAblation } from './helpers/ablation.ts';
import { findChromium } from './helpers/browser.node.ts';
import { OpenExplorer } from './helpers/explorer.node.ts';
import { saveUntrained } from './helpers/models.node.ts';

const chromium = findChromium();
if (!chromium) {
  console.log('skipped: no Chromium is installed, so the explorer is not opened; CHROMIUM_PATH can name one');
}

// A busy machine takes its time; nothing here is measured.
vi.setConfig({ testTimeout: 150_000 });

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const NAMES = families.map(({ name }) => name);
const TEXT = 'a ropewalk is a long straight lane, 로프워크';
/** What a view shows when it is ready. */
const READY: Readonly<Record<string, string>> = {
  run: '[aria-busy=false] .candidates tbody tr',
  compare: '.comparison tbody tr',
  parts: '.discs svg',
  train: 'button[type=submit]',
  ablation: 'table.ablation tbody tr',
  estimate: '.estimates[aria-busy=false]',
  open: '.drop',
};
const VIEWS = Object.keys(READY);
/** ROPEWALK_SCREENSHOTS=all takes every combination. */
const ALL = process.env.ROPEWALK_SCREENSHOTS === 'all';
const STATES = [1280, 390]
  .flatMap((width) => ['light', 'dark'].map((theme) => ({ width, theme })))
  .flatMap((state) => ['en', 'ko'].map((lang) => ({ ...state, lang })))
  .filter(({ width, theme, lang }) => {
    const usual = [`1280 light en`, `390 dark ko`];
    return ALL || usual.includes(`${width} ${theme} ${lang}`);
  });

type PageGlobals = { ropewalk: { call(method: string, argument: unknown): Promise<unknown> } };

describe.runIf(chromium)('the explorer page', () => {
  let explorer: OpenExplorer;
  beforeAll(async () => {
    explorer = await OpenExplorer.open(chromium!, async (folder) => {
      const paths = NAMES.map((name) => join(folder, name));
      for (const [i, path] of paths.entries()) await saveUntrained(path, {}, `${NAMES[i]}/tiny`);
      const ablation = join(folder, 'ladder.json');
      writeFileSync(ablation, JSON.stringify(madeUpAblation()));
      return [...paths, ablation];
    });
  }, 120_000);
  afterAll(() => explorer?.close());

  const addressHas = (part: string) => explorer.page.waitForURL(({ hash }) => hash.includes(part));

  it.each(NAMES)('gives the logits that Node gives: %s', async (name) => {
    if (explorer.page.url() === 'about:blank') await explorer.visit('run');
    const request = { model: name, text: TEXT, taps: ['logits'] };
    const found = await explorer.page.evaluate(async (argument) => {
      const { tokens, values } = (await (globalThis as unknown as PageGlobals).ropewalk.call(
        'tap',
        argument,
      )) as TapsFound;
      return { ids: tokens.map(({ id }) => id), logits: Array.from(values.logits!.data) };
    }, request);
    const path = join(explorer.folder, name);
    const ids = loadTokenizer(join(path, 'tokenizer.json')).encode(TEXT);
    expect(found.ids).toEqual(ids);
    const { runner, close } = await openTaps(path, { engine: nodeEngine({ threads: 1 }) });
    const { logits } = await runner.run(ids);
    await runner.release();
    await close();
    let difference = 0;
    // The page pads texts behind their end.
    for (const [i, logit] of logits.data.entries()) {
      difference = Math.max(difference, Math.abs(logit - found.logits[i]!));
    }
    expect(difference).toBeLessThan(1e-4);
  });

  it('runs a text by keyboard alone, and keeps all of its state in the address', async () => {
    const { page } = explorer;
    await explorer.visit('run?model=gemma2&text=a+rope&lang=en');
    await page.waitForSelector(READY.run!);
    expect(await page.locator('.tokens button').count()).toBeGreaterThan(1);
    await page.getByLabel('Text').focus();
    await page.keyboard.press('End');
    await page.keyboard.type('walk');
    await addressHas('text=a+ropewalk');
    await page.getByRole('radio', { name: 'Layer 0, sees 32 tokens' }).focus();
    await page.keyboard.press('ArrowRight');
    await addressHas('layer=1');
    await page.getByText('A global layer').waitFor();
    await page.getByRole('radio', { name: 'Head 0' }).focus();
    await page.keyboard.press('ArrowRight');
    await addressHas('head=1');
    await page.getByRole('button', { name: 'Previous token' }).focus();
    await page.keyboard.press('Enter');
    await addressHas('at=');
    expect(await page.locator('.tokens [aria-pressed=true]').count()).toBe(1);
  });

  it('compares two models on the same text', async () => {
    const { page } = explorer;
    await explorer.visit('run?model=gpt&beside=llama&text=a+rope&lang=en');
    await page.locator('[aria-busy=false] .candidates').nth(1).waitFor();
    expect(await page.locator('article h2').first().textContent()).toBe('gpt');
  });

  it('reports an error and stays usable', async () => {
    const { page } = explorer;
    await explorer.visit('run?model=gpt&lang=en&text=');
    await page.getByText('Type some text first.').waitFor();
    await page.getByLabel('Text').fill('rope '.repeat(20_000));
    await page.getByText('only its beginning is read').waitFor();
    await page.getByLabel('Text').fill('rope');
    await page.locator('.tokens li').nth(5).waitFor({ state: 'detached' });
  });

  it('explains a block chosen by keyboard', async () => {
    const { page } = explorer;
    await explorer.visit('compare?lang=en');
    await page.locator('[data-slot="attention"][data-model="2"]').focus();
    await page.keyboard.press('Enter');
    const panel = page.locator('.part-panel');
    await panel.getByText('The TypeScript that runs it').waitFor();
    const text = (await panel.innerText()).replace(/\s+/g, ' ');
    // gemma-2-9b: 16 query heads, 8 for keys and values, of 256; 42 layers, every second one local.
    expect(text).toContain('self_attn.q_proj.weight 4,096 × 3,584 42');
    expect(text).toContain('In gemma this place holds: Multi-head attention');
    expect(text).toContain('src/nn/attention.ts');
    expect(text).toContain('attend(');
    // 21 layers of 4,096 tokens and 21 of 8,192, two times 8 · 256 numbers of two bytes for each.
    expect(text).toContain('Keys and values kept (bfloat16): 1.969 GiB');
    expect(await panel.locator('math').count()).toBeGreaterThan(0);
    await addressHas('part=attention&of=2');
    await page.getByRole('button', { name: 'Close' }).focus();
    await page.keyboard.press('Enter');
    await panel.waitFor({ state: 'detached' });
  });

  it('rotates RoPE by keyboard and by dragging', async () => {
    const { page } = explorer;
    await explorer.visit('parts?part=rope&q=5&k=5&lang=en');
    await page.getByText('Distance 0.').waitFor();
    await page.getByLabel('Position of the query').focus();
    for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowRight');
    await page.getByText('Distance 3.').waitFor();
    const box = (await page.locator('.discs').boundingBox())!;
    await page.mouse.move(box.x + 50, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + 120, box.y + 40, { steps: 10 });
    await page.mouse.up();
    await page.getByText('Distance 13.').waitFor();
    await addressHas('q=18');
  });

  it.each([
    ['activation', '.plot path'],
    ['norm', '.vector.second .bars'],
    ['cap', 'tbody tr'],
    ['heads', '.sharing .key'],
    ['cache', '.layer-bars li'],
  ])('opens part %s from its address', async (part, shown) => {
    await explorer.visit(`parts?part=${part}&model=gemma2&lang=ko`);
    await explorer.page.locator(shown).first().waitFor({ state: 'attached' });
    expect(await explorer.page.locator('.error').count()).toBe(0);
  });

  it('shows the estimates of the library', async () => {
    const { page } = explorer;
    await explorer.visit('estimate?model=gemma-2-2b&context=8192&batch=1&seq=512&lang=en');
    await page.waitForSelector(READY.estimate!);
    const text = (await page.locator('table').innerText()).replace(/\s+/g, ' ');
    const named = { name: 'gemma-2-2b', ...estimate(namedPreset('gemma-2-2b')!, { context: 8192 }) };
    for (const { feature, values } of estimateRows([named], 'en')) {
      expect(text).toContain(`${feature.trim()} ${values['gemma-2-2b']}`);
    }
  });

  it('shows an ablation, and leads by keyboard to the comparison of a change', async () => {
    const { page } = explorer;
    await explorer.visit('ablation?lang=en');
    await page.waitForSelector(READY.ablation!);
    const text = (await page.locator('table.ablation').innerText()).replace(/\s+/g, ' ');
    const { rungs } = madeUpAblation();
    for (const { loss } of rungs) {
      expect(text).toContain(`${loss.mean.toFixed(3)} ± ${loss.margin!.toFixed(3)}`);
    }
    expect(await page.locator('.plot circle').count()).toBe(3 * rungs.length);
    await page.getByRole('link', { name: 'See the change: norm=RMSNorm' }).focus();
    await page.keyboard.press('Enter');
    await page.locator('[data-slot="attention"][data-model="1"]').waitFor();
    const compared = await page.locator('.comparison').first().innerText();
    expect(compared).toContain('gpt/tiny+positions=rotary,norm=RMSNorm');
    expect(await page.getByLabel('Model 2').inputValue()).toBe('gpt/tiny+positions=rotary,norm=RMSNorm');
  });

  it('opens the JSON of an ablation, and says what is wrong with others', async () => {
    const { page } = explorer;
    await explorer.visit('ablation?lang=ko');
    const picker = page.locator('input[type=file]');
    const give = (name: string, text: string) =>
      picker.setInputFiles({ name, mimeType: 'application/json', buffer: Buffer.from(text) });
    const whole = madeUpAblation();
    await give('own.json', JSON.stringify({ ...whole, settings: { ...whole.settings, from: '<b>gpt</b>' } }));
    await page.getByRole('heading', { name: '<b>gpt</b>에서 llama3까지' }).waitFor();
    await addressHas('ablation=own');
    await give('half.json', JSON.stringify(whole).slice(0, 500));
    await page.locator('.error', { hasText: 'half.json: it is not JSON' }).waitFor();
    await give('other.json', '{"model_type": "gpt"}');
    await page.locator('.error', { hasText: 'other.json: the field "settings"' }).waitFor();
  });

  describe.each(VIEWS)('its view %s', (view) => {
    it.each(STATES)('is complete and readable at $width pixels, $theme, $lang', async (state) => {
      const { width, theme, lang } = state;
      const { page } = explorer;
      await page.setViewportSize({ width, height: 900 });
      // Gemma 2 has everything: caps, windows, shared heads.
      await explorer.visit(`${view}?theme=${theme}&lang=${lang}${view === 'run' ? '&model=gemma2' : ''}`);
      await page.waitForSelector(READY[view]!);
      expect(await explorer.overflow()).toBe(0);
      await explorer.screenshot(`${view}-${width}-${theme}-${lang}`);
      await page.evaluate(AXE);
      const faults = (await page.evaluate(
        'axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations.map(({ id, impact, nodes }) => ({ id, impact, places: nodes.slice(0, 3).map(({ target }) => String(target)) })))',
      )) as { impact: string }[];
      expect(faults.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual([]);
    });
  });

  it('loads at most 300 kB of its own compressed programs first', async () => {
    const { page } = explorer;
    const loaded: Promise<number>[] = [];
    page.on('response', (response) => {
      if (/\/assets\/.*\.js$/.test(response.url())) {
        loaded.push(response.body().then((body) => gzipSync(body).length));
      }
    });
    await explorer.visit('run?model=gpt&text=a+rope&lang=en');
    await page.waitForSelector(READY.run!);
    const bytes = (await Promise.all(loaded)).reduce((sum, size) => sum + size, 0);
    page.removeAllListeners('response');
    expect(bytes).toBeGreaterThan(50_000);
    expect(bytes).toBeLessThanOrEqual(300_000);
  });

  it('has printed no error to the console', () => {
    expect(explorer.complaints).toEqual([]);
  });
});
