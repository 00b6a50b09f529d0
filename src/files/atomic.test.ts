import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openWorkshop, type Workshop } from '../../test/helpers/workshop.node.ts';
import { recoverDirectory, writeDirectoryAtomic, writeFileAtomic } from './atomic.node.ts';

let workshop: Workshop;
/** A fresh folder for each test, and the target in it. */
let folder: string;
let target: string;
let count = 0;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.remove());
/** For tests that start a process for each step, on a busy machine. */
const LONG = 240_000;
beforeEach(() => {
  folder = join(workshop.folder, `test${count++}`);
  mkdirSync(folder);
  target = join(folder, 'model');
});

/** An error as the disk raises it. */
const diskError = (code: string) => Object.assign(new Error(`${code}: injected`), { code });

const put = (version: string) =>
  writeDirectoryAtomic(target, async (directory) => {
    for (const name of ['a', 'b', 'c']) writeFileSync(join(directory, name), version.repeat(1000));
  });

/** The version that the target holds, which must be whole, with nothing left beside it. */
function version(): string | undefined {
  expect(readdirSync(folder).filter((name) => name !== 'model')).toEqual([]);
  if (!existsSync(target)) return undefined;
  expect(readdirSync(target)).toEqual(['a', 'b', 'c']);
  const [a, b, c] = ['a', 'b', 'c'].map((name) => readFileSync(join(target, name), 'utf8'));
  expect(a).toHaveLength(1000);
  expect([b, c]).toEqual([a, a]);
  return a![0];
}

describe('writing a folder atomically', () => {
  test('creates it, replaces it, and leaves nothing beside it', async () => {
    target = join(folder, 'deep', 'er', 'model');
    await put('x');
    expect(readdirSync(join(folder, 'deep', 'er'))).toEqual(['model']);
    target = join(folder, 'model');
    rmSync(join(folder, 'deep'), { recursive: true });
    await put('x');
    expect(version()).toBe('x');
    await put('y');
    expect(version()).toBe('y');
  });

  test('leaves the old or the new folder when it is killed at any step', { timeout: LONG }, async () => {
    for (const old of [undefined, 'o']) {
      const seen: (string | undefined)[] = [];
      for (let step = 1; ; step++) {
        rmSync(target, { recursive: true, force: true });
        if (old) await put(old);
        const { status, signal } = workshop.run(['directory', target, 'n', step]);
        if (signal === null) {
          expect(status).toBe(0);
          expect(version()).toBe('n');
          break;
        }
        expect(signal).toBe('SIGKILL');
        await recoverDirectory(target);
        seen.push(version());
      }
      // First the old one, from some step on the new one, and both do occur.
      const turn = seen.indexOf('n');
      expect(turn).toBeGreaterThan(3);
      expect(seen).toEqual(seen.map((_, i) => (i < turn ? old : 'n')));
      expect(seen.length - turn).toBeGreaterThanOrEqual(old ? 4 : 1);
    }
  });

  test('recovers the folder even when the recovery is killed', { timeout: LONG }, async () => {
    await put('o');
    let kills = 0;
    for (let step = 1; workshop.run(['directory', target, 'n', step]).signal !== null; step++) {
      let again = 1;
      for (; workshop.run(['recover', target, again]).signal !== null; again++) kills++;
      expect(['o', 'n']).toContain(version());
      await put('o');
    }
    expect(kills).toBeGreaterThan(3);
  });

  test('leaves the old or the new folder when it is killed at any moment', { timeout: LONG }, async () => {
    await put('0');
    for (let round = 1; round <= 12; round++) {
      const before = version();
      const child = spawn(process.execPath, [workshop.program, 'loop', target, String(round % 10), '100000']);
      const exit = once(child, 'exit');
      await sleep(60 + ((round * 37) % 50));
      child.kill('SIGKILL');
      await exit;
      await recoverDirectory(target);
      expect([before, String(round % 10)]).toContain(version());
    }
  });

  test('works while a reader recovers beside the writer', async () => {
    await put('o');
    const child = spawn(process.execPath, [workshop.program, 'loop', target, 'n', '100'], { stdio: 'pipe' });
    let output = '';
    child.stdout.on('data', (text) => {
      output += text;
    });
    child.stderr.on('data', (text) => {
      output += text;
    });
    const exit = once(child, 'exit');
    while (child.exitCode === null) {
      await recoverDirectory(target);
      await sleep(1);
    }
    expect(await exit, output).toEqual([0, null]);
    expect(version()).toBe('n');
  });

  test('keeps the old folder when filling fails, and the error names the path, the cause and a remedy', async () => {
    await put('o');
    const fill = async (directory: string) => {
      writeFileSync(join(directory, 'a'), 'half');
      throw diskError('ENOSPC');
    };
    await expect(writeDirectoryAtomic(target, fill)).rejects.toThrow(
      `cannot write ${target}: the disk is full (ENOSPC); free some space or choose another disk`,
    );
    expect(version()).toBe('o');
    const bug = new TypeError('a bug');
    await expect(writeDirectoryAtomic(target, () => Promise.reject(bug))).rejects.toBe(bug);
    expect(version()).toBe('o');
  });

  test('keeps a symbolic link and replaces its target', async () => {
    const real = join(folder, 'real');
    mkdirSync(real);
    symlinkSync('real', target);
    await put('n');
    expect(readdirSync(folder).sort()).toEqual(['model', 'real']);
    expect(readFileSync(join(real, 'a'), 'utf8')[0]).toBe('n');
  });

  test('refuses a file in its place, or as its parent', async () => {
    writeFileSync(target, '');
    await expect(put('x')).rejects.toThrow(/model: it is a file, not a folder; name another folder/);
    target = join(target, 'inside');
    await expect(put('x')).rejects.toThrow(/inside: part of the path is a file/);
  });
});

describe('writing a file atomically', () => {
  test('creates it, replaces it and keeps its permissions and links', async () => {
    await writeFileAtomic(target, 'one');
    chmodSync(target, 0o600);
    const link = join(folder, 'link');
    symlinkSync('model', link);
    await writeFileAtomic(link, Uint8Array.of(50));
    expect(readFileSync(target, 'utf8')).toBe('2');
    expect(statSync(target).mode & 0o777).toBe(0o600);
    chmodSync(target, 0o666); // more than the usual mask would let a new file have
    await writeFileAtomic(target, '2');
    expect(statSync(target).mode & 0o777).toBe(0o666);
    await writeFileAtomic(target, async (sink) => {
      await sink.write(Uint8Array.of(51));
      await sink.write(Uint8Array.of(52));
    });
    expect(readFileSync(target, 'utf8')).toBe('34');
    expect(readdirSync(folder).sort()).toEqual(['link', 'model']);
  });

  test('leaves the old or the new file when it is killed at any step, and the next write cleans up', {
    timeout: LONG,
  }, async () => {
    const seen: string[] = [];
    for (let step = 1; ; step++) {
      await writeFileAtomic(target, 'old');
      expect(readdirSync(folder)).toEqual(['model']);
      const { signal } = workshop.run(['file', target, 'n', step]);
      if (signal === null) break;
      seen.push(readFileSync(target, 'utf8')[0]!);
    }
    expect(seen).toEqual(['o', 'o', 'o', 'o', 'n']);
    expect(readFileSync(target, 'utf8')).toHaveLength(1000);
  });

  test('keeps the old file when writing fails', async () => {
    await writeFileAtomic(target, 'old');
    for (const [code, message] of [
      ['ENOSPC', /the disk is full/],
      ['EROFS', /the file system is read-only/],
      ['EACCES', /permission denied/],
      ['EWHAT', /EWHAT: injected \(EWHAT\)/],
    ] as const) {
      await expect(
        writeFileAtomic(target, async (sink) => {
          await sink.write(Uint8Array.of(1));
          throw diskError(code);
        }),
      ).rejects.toThrow(message);
    }
    expect(readFileSync(target, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['model']);
  });

  test('refuses a folder in its place, a missing folder and a device', async () => {
    mkdirSync(target);
    await expect(writeFileAtomic(target, '')).rejects.toThrow(/it is a folder; name a file/);
    await expect(writeFileAtomic(join(folder, 'no', 'x'), '')).rejects.toThrow(
      /no such file or folder \(ENOENT\)/,
    );
    await expect(writeFileAtomic('/dev/null', '')).rejects.toThrow(/not a regular file/);
  });

  test('throws a clear error for a folder without write permission', ({ skip }) => {
    chmodSync(folder, 0o555);
    const root = process.getuid?.() === 0;
    if (process.platform === 'win32') skip('permissions work differently on Windows');
    const { error, status, stdout } = workshop.run(['file', target, 'x', 0], root ? { uid: 65534 } : {});
    chmodSync(folder, 0o755);
    if (error) skip('another user may not run this Node, which lies in a private folder');
    expect(stdout).toBe(
      `cannot write ${target}: permission denied (EACCES); choose a location that you may write to, or change its permissions`,
    );
    expect(status).toBe(1);
  });
});

test('a full disk or a read-only disk leaves the old file and folder intact', async ({ skip }) => {
  const disk = workshop.mount('200k');
  if (!disk) return skip('mounting a small disk is not allowed here');
  folder = disk.path;
  target = join(folder, 'model');
  await put('o');
  const big = new Uint8Array(150_000);
  await expect(
    writeDirectoryAtomic(target, async (directory) => {
      for (const name of ['a', 'b', 'c']) await writeFileAtomic(join(directory, name), big);
    }),
  ).rejects.toThrow(/the disk is full \(ENOSPC\); free some space/);
  expect(version()).toBe('o');
  await expect(writeFileAtomic(join(target, 'a'), new Uint8Array(300_000))).rejects.toThrow(
    /the disk is full/,
  );
  expect(version()).toBe('o');

  // Leftovers that cannot be removed must not stop a reader.
  mkdirSync(join(folder, '.model.old'));
  disk.readOnly();
  await expect(put('n')).rejects.toThrow(/the file system is read-only \(EROFS\)/);
  await recoverDirectory(target);
  expect(readFileSync(join(target, 'a'), 'utf8')[0]).toBe('o');
  return undefined;
});
