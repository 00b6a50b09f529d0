import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { until } from '../../test/helpers/work.node.ts';
import { abandonedPartials } from './atomic.node.ts';
import { acquireLock } from './lock.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-lock-'));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;
const place = () => join(folder, `deep/${count++}.lock`);
const never = async () => false;
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** A process that is not there: above the largest number that Linux gives. */
const GONE = 2 ** 22 + 1;

it('a file lock lets one holder in at a time', async () => {
  const path = place();
  let inside = 0;
  const work = async () => {
    const lock = await acquireLock(path, { isDone: never });
    expect(++inside).toBe(1);
    await later(20);
    inside--;
    await lock!.release();
  };
  await Promise.all([work(), work(), work()]);
  expect(existsSync(path)).toBe(false);
});

it('a file lock stops waiting when there is nothing left to do, or when told to stop', async () => {
  const path = place();
  const lock = await acquireLock(path, { isDone: never });
  let asked = 0;
  expect(await acquireLock(path, { isDone: async () => ++asked === 3 })).toBeUndefined();
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error('enough')), 50);
  await expect(acquireLock(path, { isDone: never, signal: controller.signal })).rejects.toThrow('enough');
  await lock!.release();
});

it('a file lock is taken over at once from a dead process', async () => {
  const path = place();
  await (await acquireLock(path, { isDone: never }))!.release();
  writeFileSync(path, JSON.stringify({ host: hostname(), pid: GONE, key: 'x' }));
  let asked = 0;
  const isDone = async () => ++asked < 0;
  const lock = await acquireLock(path, { isDone });
  expect(asked).toBe(1);
  await lock!.release();
});

// Where a process's state can be read.
it.skipIf(process.platform !== 'linux')(
  'a file lock is taken over at once from a process that ended and was not collected',
  async () => {
    // The shell becomes a program that collects no children; only then the child ends.
    const waits = join(folder, 'waits');
    writeFileSync(waits, '');
    const script = '(while [ -e "$0" ]; do sleep 0.01; done) & echo $!; exec sleep 600';
    const parent = spawn('sh', ['-c', script, waits], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)));
      await until(() => readFileSync(`/proc/${parent.pid}/comm`, 'utf8') === 'sleep\n', 'the shell is gone');
      rmSync(waits);
      const state = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]![0];
      await until(() => state() === 'Z', 'the child has ended');
      const path = place();
      await (await acquireLock(path, { isDone: never }))!.release();
      const began = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')[19];
      writeFileSync(path, JSON.stringify({ host: hostname(), pid, began, key: 'x' }));
      let asked = 0;
      const lock = await acquireLock(path, { isDone: async () => ++asked < 0 });
      expect(asked).toBe(1);
      await lock!.release();
      const left = `.some.partial-${hostname().replace(/[^A-Za-z0-9]/g, '_')}-${pid}-${Date.now()}-0123abcd`;
      writeFileSync(join(folder, left), '');
      expect(await abandonedPartials(folder)).toEqual([join(folder, left)]);
    } finally {
      parent.kill();
    }
  },
);

it('a file lock that nobody refreshes is taken over, whatever its time says, but never one that is refreshed', async () => {
  for (const text of ['', JSON.stringify({ host: 'another machine', pid: 1, key: 'x' })]) {
    const path = place();
    writeFileSync(path, text);
    // Another machine's clock may be far ahead.
    utimesSync(path, new Date(Date.now() + 1e7), new Date(Date.now() + 1e7));
    let asked = 0;
    let refreshed = 0;
    const isDone = async () => {
      if (++asked > 3) return false;
      const time = new Date(Date.now() + 2e7 + asked * 1000);
      utimesSync(path, time, time);
      refreshed = performance.now();
      return false;
    };
    const lock = await acquireLock(path, { isDone, abandonedMs: 400 });
    expect(asked).toBeGreaterThan(3);
    expect(performance.now() - refreshed).toBeGreaterThan(400);
    await lock!.release();
    expect(existsSync(path)).toBe(false);
  }
});

it('an abandoned file lock goes to exactly one of those who want it', async () => {
  for (let round = 0; round < 20; round++) {
    const path = place();
    writeFileSync(path, JSON.stringify({ host: hostname(), pid: GONE, key: 'x' }));
    let inside = 0;
    let most = 0;
    const work = async () => {
      const lock = await acquireLock(path, { isDone: never });
      most = Math.max(most, ++inside);
      await later(5);
      inside--;
      await lock!.release();
    };
    await Promise.all([work(), work(), work(), work()]);
    expect(most).toBeLessThanOrEqual(2); // it spares work; that nothing breaks does not rest on it
  }
  expect(readdirSync(join(folder, 'deep'))).toEqual([]);
});
