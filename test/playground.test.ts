import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LanguageModel } from '../src/generation/language-model.ts';
import { type Listening, listen } from '../src/serve/listen.node.ts';
import { playgroundPage } from '../src/serve/page.node.ts';
import { serve } from '../src/serve/serve.ts';
import { findChromium, SWITCHES } from './helpers/browser.node.ts';
import { buildPage } from './helpers/explorer.node.ts';
import { type Json, smallModel } from './helpers/serve.node.ts';

/** The page of `ropewalk serve`, in a real browser. */

const executablePath = findChromium();
if (!executablePath) {
  console.log('skipped: no Chromium is installed, so the page is not opened; CHROMIUM_PATH can name one');
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Where screenshots are kept: outside of version control. */
const SCREENSHOTS = fileURLToPath(new URL('../coverage/playground', import.meta.url));

/** A model that begins to write and never ends by itself. */
function endless(model: LanguageModel): LanguageModel {
  const complete: LanguageModel['complete'] = async function* (_prompt, { signal } = {}) {
    yield { type: 'accepted', promptTokens: 1 };
    yield { type: 'text', text: '…' };
    return await new Promise((_, reject) => {
      signal!.addEventListener('abort', () => reject(signal!.reason), { once: true });
    });
  };
  return new Proxy(model, {
    get(target, key) {
      if (key === 'complete') return complete;
      const value = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe.runIf(executablePath)('the playground', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ropewalk-playground-'));
  const complaints: string[] = [];
  const requests: string[] = [];
  let server: Listening;
  let browser: Browser;
  let page: Page;
  let remove: () => Promise<void>;

  beforeAll(async () => {
    buildPage(folder, 'playground/vite.config.ts');
    const made = await smallModel();
    remove = made.remove;
    const models = { alpha: made.model, beta: endless(made.model) };
    server = await listen(await serve(models, { page: await playgroundPage(folder) }), {
      port: 0,
      host: '127.0.0.1',
    });
    browser = await chromium.launch({
      executablePath: executablePath!,
      args: [...SWITCHES, '--disable-gpu'],
    });
    page = await browser.newPage({ viewport: { width: 1280, height: 900 }, locale: 'en-US' });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('request', (request) => requests.push(request.url()));
    await page.goto(server.url);
    await page.waitForSelector('input[type=checkbox]');
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await server?.close(0);
    await remove?.();
    rmSync(folder, { recursive: true, force: true });
  });

  const lastReply = () => page.locator('.reply').last();
  const done = () => page.waitForSelector('button[type=submit]');

  it('sends by keyboard, streams the answer, and shows tokens and speed', async () => {
    await page.getByLabel('Maximum tokens').fill('40');
    await page.getByLabel('Seed').fill('2');
    await page.getByLabel('Temperature').fill('1');
    await page.getByLabel('System prompt').fill('짧게 답하세요.');
    await page.getByLabel('Message').focus();
    await page.keyboard.type('밧줄은 무엇인가요?');
    await page.keyboard.press('Enter');
    await done();
    await expect
      .poll(() => lastReply().locator('.facts').textContent())
      .toMatch(/\d+ prompt tokens · \d+ tokens/);
    const text = await lastReply().locator('.text').textContent();
    const answer = await fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        ...{ model: 'alpha', max_tokens: 40, seed: 2, temperature: 1 },
        messages: [
          { role: 'system', content: '짧게 답하세요.' },
          { role: 'user', content: '밧줄은 무엇인가요?' },
        ],
      }),
    });
    expect(text).toBe(((await answer.json()) as Json).choices[0].message.content);
    expect(await page.locator('[role=status]').textContent()).toContain(text);
  });

  it('regenerates the last answer', async () => {
    const before = await lastReply().locator('.text').textContent();
    await page.getByLabel('Seed').fill('9');
    await page.getByRole('button', { name: 'Regenerate' }).click();
    await done();
    expect(await page.locator('.turn').count()).toBe(1);
    expect(await lastReply().locator('.text').textContent()).not.toBe(before);
  });

  it('asks several models side by side, and stops them', async () => {
    await page.getByLabel('beta').check();
    await page.getByLabel('Message').fill('Tell me more.');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.waitForSelector('.reply[aria-busy=true] .text:has-text("…")');
    await page.getByRole('button', { name: 'Stop' }).click();
    await done();
    expect(await page.locator('.turn').last().locator('.reply h3').allTextContents()).toEqual([
      'alpha',
      'beta',
    ]);
  });

  it('keeps the conversation in the browser, also in Korean', async () => {
    const turns = await page.locator('.turn').count();
    await page.reload();
    await page.waitForSelector('.turn');
    expect(await page.locator('.turn').count()).toBe(turns);
    await page.getByRole('button', { name: '한국어' }).click();
    expect(await page.locator('html').getAttribute('lang')).toBe('ko');
    expect(await page.title()).toBe('Ropewalk 플레이그라운드');
    await page.getByLabel('최대 토큰 수').fill('24');
    await page.getByLabel('beta').uncheck();
    await page.getByLabel('메시지').fill('안녕');
    await page.getByRole('button', { name: '보내기' }).click();
    await done();
  });

  it.each([
    ['phone', 390],
    ['desktop', 1280],
  ])('has no serious accessibility violation by axe, in both languages: %s', async (name, width) => {
    await page.setViewportSize({ width, height: 900 });
    for (const switchTo of ['English', '한국어']) {
      await page.getByRole('button', { name: switchTo }).click();
      const locale = switchTo === 'English' ? 'en' : 'ko';
      await page.waitForSelector(`html[lang=${locale}]`);
      mkdirSync(SCREENSHOTS, { recursive: true });
      await page.screenshot({ path: join(SCREENSHOTS, `${name}-${locale}.png`) });
      const found = (await page.evaluate(`${AXE}; axe.run()`)) as {
        violations: { id: string; impact: string }[];
      };
      const serious = found.violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
      expect(serious.map(({ id }) => id)).toEqual([]);
      const overflow = (await page.evaluate(
        'document.documentElement.scrollWidth - window.innerWidth',
      )) as number;
      expect(overflow).toBeLessThanOrEqual(0);
    }
  });

  it('starts a new conversation, logs no errors, and loads nothing from elsewhere', async () => {
    await page.getByRole('button', { name: '새 대화' }).click();
    expect(await page.locator('.turn').count()).toBe(0);
    expect(complaints).toEqual([]);
    expect(requests.filter((url) => !url.startsWith(server.url) && !url.startsWith('data:'))).toEqual([]);
  });

  it('asks for an API key when one is needed', async () => {
    const locked = await listen(
      await serve(
        { alpha: (await smallModel()).model },
        { apiKeys: ['k'], page: await playgroundPage(folder) },
      ),
      { port: 0, host: '127.0.0.1' },
    );
    const other = await browser.newPage({ locale: 'en-US' });
    await other.goto(locked.url);
    await other.getByLabel('API key').fill('k');
    await other.keyboard.press('Tab');
    await other.waitForSelector('input[type=checkbox]');
    await other.close();
    await locked.close(0);
  });
});
