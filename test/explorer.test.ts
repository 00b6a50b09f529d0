import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TapsFound } from '../explorer/worker/protocol.ts';
import { families } from '../src/families/registry.ts';
import { openTaps } from '../src/generation/taps/taps.node.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.node.ts';
import { findChromium } from './helpers/browser.node.ts';
import { OpenExplorer } from './helpers/explorer.node.ts';
import { saveUntrained } from './helpers/models.node.ts';

const chromium = findChromium();
if (!chromium) {
  console.log('skipped: no Chromium is installed, so the explorer is not opened; CHROMIUM_PATH can name one');
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const NAMES = families.map(({ name }) => name);
const TEXT = 'a ropewalk is a long straight lane, 로프워크';
/** What a view shows when it is ready. */
const READY: Readonly<Record<string, string>> = { run: '[aria-busy=false] .candidates tbody tr' };
const VIEWS = Object.keys(READY);

type PageGlobals = { ropewalk: { call(method: string, argument: unknown): Promise<unknown> } };

describe.runIf(chromium)('the explorer', () => {
  let explorer: OpenExplorer;
  beforeAll(async () => {
    explorer = await OpenExplorer.open(chromium!, async (folder) => {
      const paths = NAMES.map((name) => join(folder, name));
      for (const [i, path] of paths.entries()) await saveUntrained(path, {}, `${NAMES[i]}/tiny`);
      return paths;
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

  it('runs a text by keyboard alone, and has all of it in the address', async () => {
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

  it('shows two models on the same text', async () => {
    const { page } = explorer;
    await explorer.visit('run?model=gpt&beside=llama&text=a+rope&lang=en');
    await page.locator('[aria-busy=false] .candidates').nth(1).waitFor();
    expect(await page.locator('article h2').first().textContent()).toBe('gpt');
  });

  it('says what is wrong, and goes on', async () => {
    const { page } = explorer;
    await explorer.visit('run?model=gpt&lang=en&text=');
    await page.getByText('Type some text first.').waitFor();
    await page.getByLabel('Text').fill('rope '.repeat(20_000));
    await page.getByText('only its beginning is read').waitFor();
    await page.getByLabel('Text').fill('rope');
    await page.locator('.tokens li').nth(5).waitFor({ state: 'detached' });
  });

  describe.each(VIEWS)('its view %s', (view) => {
    const states = [
      { width: 1280, theme: 'light', lang: 'en' },
      { width: 390, theme: 'light', lang: 'ko' },
      { width: 1280, theme: 'dark', lang: 'ko' },
      { width: 390, theme: 'dark', lang: 'en' },
    ];
    it.each(states)('is whole and readable at $width pixels, $theme, $lang', async (state) => {
      const { width, theme, lang } = state;
      const { page } = explorer;
      await page.setViewportSize({ width, height: 900 });
      await explorer.visit(`${view}?theme=${theme}&lang=${lang}`);
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

  it('has printed no error', () => {
    expect(explorer.complaints).toEqual([]);
  });
});
