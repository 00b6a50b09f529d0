// The explorer's budgets, in a real Chromium: npm run bench:explorer [-- gemma2 llama …] with families whose training is timed.
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { families } from '../src/families/registry.ts';
import { findChromium } from '../test/helpers/browser.node.ts';
import { OpenExplorer } from '../test/helpers/explorer.node.ts';
import { saveUntrained } from '../test/helpers/models.node.ts';

const chromium = findChromium();
if (!chromium) throw new Error('no Chromium is installed; CHROMIUM_PATH can name one');
const named = process.argv.slice(2);
const trained = named.length > 0 ? named : families.map(({ name }) => name);

const explorer = await OpenExplorer.open(chromium, async (folder) => {
  await saveUntrained(join(folder, 'gemma2'), {}, 'gemma2/tiny');
  return [join(folder, 'gemma2')];
});
const { page } = explorer;
const ms = (value: number) => `${value.toFixed(0)} ms`;
const middle = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

async function firstLoad(): Promise<void> {
  const programs: Promise<number>[] = [];
  page.on('response', (response) => {
    if (/\/assets\/.*\.js$/.test(response.url())) {
      programs.push(response.body().then((body) => gzipSync(body).length));
    }
  });
  const times: { usable: number; computed: number }[] = [];
  for (let round = 0; round < 5; round++) {
    await page.goto('about:blank');
    const started = performance.now();
    await page.goto(`${explorer.address}#/run?model=gemma2&text=a+rope&lang=en`);
    await page.getByLabel('Text').waitFor();
    const usable = performance.now() - started;
    await page.locator('[aria-busy=false] .candidates tbody tr').first().waitFor();
    times.push({ usable, computed: performance.now() - started });
    if (round === 0) {
      const bytes = (await Promise.all(programs)).reduce((sum, size) => sum + size, 0);
      console.log(
        `own programs of the first load, compressed: ${(bytes / 1e3).toFixed(0)} kB (budget 300 kB)`,
      );
      page.removeAllListeners('response');
    }
  }
  console.log(
    `usable after ${ms(middle(times.map(({ usable }) => usable)))} (budget 2,000 ms), first probabilities after ${ms(middle(times.map(({ computed }) => computed)))}; medians of 5`,
  );
}

async function keystrokes(): Promise<void> {
  await page.evaluate(`{
    globalThis.waits = [];
    let typed;
    document.querySelector('textarea').addEventListener('input', () => { typed = performance.now(); });
    new MutationObserver(() => {
      if (typed === undefined || document.querySelector('article').ariaBusy !== 'false') return;
      waits.push(performance.now() - typed);
      typed = undefined;
    }).observe(document.querySelector('article'), { attributes: true });
  }`);
  await page.getByLabel('Text').focus();
  await page.keyboard.press('End');
  for (const [i, letter] of [...' walk is a long straight lane'].entries()) {
    await page.keyboard.type(letter);
    // Not waitForFunction, which the page's security policy forbids.
    await page.evaluate(
      `new Promise((done) => { const look = () => (waits.length > ${i} ? done() : setTimeout(look, 5)); look(); })`,
    );
  }
  const waits = (await page.evaluate('waits')) as number[];
  console.log(
    `from a keystroke to the new probabilities: median ${ms(middle(waits))}, longest ${ms(waits.at(-1)!)} (budget 150 ms)`,
  );
}

async function dragging(): Promise<void> {
  await explorer.visit('parts?part=rope&lang=en');
  const box = (await page.locator('.discs').boundingBox())!;
  await page.mouse.move(box.x + 60, box.y + 40);
  await page.mouse.down();
  await page.evaluate(`{
    globalThis.frames = [];
    const frame = (time) => { frames.push(time); requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
  }`);
  for (let i = 0; i < 240; i++) await page.mouse.move(box.x + 60 + 3 * Math.min(i, 240 - i), box.y + 40);
  const frames = (await page.evaluate('frames')) as number[];
  await page.mouse.up();
  const steps = frames.slice(1).map((time, i) => time - frames[i]!);
  const seconds = (frames.at(-1)! - frames[0]!) / 1000;
  console.log(
    `while the discs are dragged: ${((frames.length - 1) / seconds).toFixed(1)} frames a second, longest ${ms(Math.max(...steps))} (budget 60)`,
  );
}

async function training(family: string): Promise<void> {
  await explorer.visit(`train?family=${family}&lang=en`);
  await page.getByRole('button', { name: 'Start' }).click();
  const started = performance.now();
  await page
    .getByText('step 1 of')
    .or(page.getByText(/step \d+ of/))
    .first()
    .waitFor();
  const begun = performance.now() - started;
  await page.getByText('below the bigram').waitFor({ timeout: 600_000 });
  const below = performance.now() - started;
  const [, step] = /step (\d+) of/.exec(await page.locator('.progress').innerText())!;
  console.log(
    `${family}: below the bigram after ${(below / 1000).toFixed(1)} s (budget 60 s), about ${step} steps; the first after ${(begun / 1000).toFixed(1)} s`,
  );
}

try {
  await firstLoad();
  await keystrokes();
  await dragging();
  for (const family of trained) await training(family);
} finally {
  await explorer.close();
}
