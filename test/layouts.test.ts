import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { openLayout } from '../src/checkpoint/layouts/layout-file.node.ts';
import { openModel } from '../src/checkpoint/load.node.ts';
import { exportQuantized } from '../src/export/quantized.node.ts';
import { createDecoder, keepLayout } from '../src/generation/decoder.node.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { buildProgram, start, startCommand } from './helpers/cli.node.ts';
import { DAMAGED, layoutTests, replaceFile, type Started, withFlippedBit } from './helpers/layouts.node.ts';
import { saveUntrained } from './helpers/models.node.ts';

/**
 * Layouts: models that were started before start again from a file in the engine's own form. Whatever happens to that
 * file, the logits are those without it, which other tests compare with their references.
 */

const { root, remove, newCache, run, layoutsIn, onlyLayout, gguf } = layoutTests('layouts');
afterAll(remove);

let folder: string;
beforeEach(() => {
  folder = newCache();
});

/** A small model whose layout is some 800 kB: several weights, a tied head. */
const model = gguf('Q8_0', 'gemma');
const plain = await run(model, { layoutCache: false });
const hashOf = (values: Float32Array) => createHash('sha256').update(values).digest('hex');

describe('a later start', () => {
  it.each([
    ['Q8_0', 'llama'],
    ['Q4_0', 'llama'],
    ['Q4_1', 'llama'],
    ['Q6_K', 'gemma2'],
    ['Q4_K', 'gpt2'],
  ] as const)('reads nothing from the model, and has the same logits: %s, %s', async (type, family) => {
    const path = gguf(type, family);
    for (const activations of ['exact', 'int8'] as const) {
      const without = await run(path, { activations, layoutCache: false });
      const first = await run(path, { activations });
      const second = await run(path, { activations });
      expect(second.read).toBe(false);
      expect(first.logits).toEqual(without.logits);
      expect(second.logits).toEqual(without.logits);
    }
    // How activations are rounded is a matter of the product, not of the weights.
    expect(layoutsIn()).toHaveLength(1);
  });

  it('neither quantizes again, with each width and block of its own', async () => {
    const path = join(root, 'untrained');
    await saveUntrained(path, { vocab_size: 320 });
    const seen = new Set<string>();
    for (const bits of [4, 8] as const) {
      for (const block of [32, 64] as const) {
        const quantize = { bits, block };
        const without = await run(path, { quantize, layoutCache: false });
        const first = await run(path, { quantize });
        const second = await run(path, { quantize });
        expect([first.read, second.read]).toEqual([true, false]);
        expect(first.logits).toEqual(without.logits);
        expect(second.logits).toEqual(without.logits);
        seen.add(hashOf(second.logits));
      }
    }
    expect(seen.size).toBe(4);
    expect(layoutsIn()).toHaveLength(4);
  });

  it('is fast at once for a model whose layout was kept when it was saved', async () => {
    const source = join(root, 'to-save');
    const out = join(root, 'saved');
    await saveUntrained(source, { vocab_size: 320 });
    const opened = await openModel(source);
    await exportQuantized(opened, out, { quantize: { bits: 4, block: 32 } });
    await opened.checkpoint.tensors.close();
    const saved = await openModel(out);
    const layoutCache = { folder, minimumBytes: 0, settledMs: 0 };
    expect(await keepLayout(saved, { threads: 1, layoutCache })).toBe(true);
    expect(await keepLayout(saved, { threads: 1, layoutCache: { folder, settledMs: 0 } })).toBe(false);
    await saved.checkpoint.tensors.close();
    const started = await run(out);
    expect(started.read).toBe(false);
    expect(started.logits).toEqual((await run(out, { layoutCache: false })).logits);
  });

  it('tells 8 bits of the file from 8 bits that were asked for, which have the same sizes', async () => {
    const own = await run(model);
    const asked = await run(model, { quantize: { bits: 8, block: 32 }, activations: 'exact' });
    expect(own.logits).toEqual(plain.logits);
    const without = { quantize: { bits: 8, block: 32 }, activations: 'exact', layoutCache: false } as const;
    expect(asked.logits).toEqual((await run(model, without)).logits);
    expect(layoutsIn()).toHaveLength(2);
  });

  it('sees that a model changed, even in place with its size and time kept', async () => {
    const path = join(root, 'changing.gguf');
    const original = readFileSync(model);
    writeFileSync(path, original);
    const { atime, mtime } = statSync(path);
    const before = await run(path);
    const changed = Uint8Array.from(original);
    const at = changed.length - 70_001;
    for (let i = 0; i < 60_000; i += 34) changed[at + i]! ^= 0x11;
    // The clock of the file system has steps of some milliseconds.
    await new Promise((resolve) => setTimeout(resolve, 30));
    writeFileSync(path, changed);
    utimesSync(path, atime, mtime);
    const after = await run(path);
    expect(after.read).toBe(true);
    expect(after.logits).toEqual((await run(path, { layoutCache: false })).logits);
    expect(after.logits).not.toEqual(before.logits);
  });

  it('waits until the files have been left alone for two seconds', async () => {
    const path = join(root, 'fresh.gguf');
    writeFileSync(path, readFileSync(model));
    const later = new Date(Date.now() + 3600_000);
    utimesSync(path, later, later);
    expect((await run(path, { layoutCache: { folder, minimumBytes: 0 } })).logits).toEqual(plain.logits);
    expect(layoutsIn()).toEqual([]);
  });

  it('reads the file where it cannot be mapped: through another engine, nothing is kept', async () => {
    const engine = nodeEngine({ threads: 1 }, { binding: true });
    const { logits } = await run(model, { engine });
    expect(logits.length).toBe(plain.logits.length);
    expect(layoutsIn()).toEqual([]);
  });
});

describe('a damaged layout is found out and made again', () => {
  it.each([
    ['its first byte', 0],
    ['the middle', 0.5],
    ['the last weights', 0.98],
  ])('a flipped bit in %s', async (_, share) => {
    await run(model);
    const path = onlyLayout();
    const good = readFileSync(path);
    replaceFile(path, withFlippedBit(good, share));
    const { logits } = await run(model);
    expect(logits).toEqual(plain.logits);
    expect(readFileSync(path).equals(good)).toBe(true);
    expect((await run(model)).read).toBe(false);
  });

  it('any changed byte of the description, and any length but its own', async () => {
    await run(model);
    const path = onlyLayout();
    const good = readFileSync(path);
    const opened = (await openLayout(path))!;
    await opened.handle.close();
    const { bytes } = opened.description;
    const damaged = join(folder, 'damaged');
    const check = async (content: Uint8Array) => {
      writeFileSync(damaged, content);
      expect(await openLayout(damaged)).toBe(undefined);
    };
    for (let at = bytes; at < good.length; at++) {
      const bad = Uint8Array.from(good);
      bad[at]! ^= 1 << (at % 8);
      await check(bad);
    }
    const lengths = [0, 1, 23, 24, 25, bytes - 1, bytes, bytes + 1, good.length - 24, good.length - 1];
    for (const length of lengths) await check(good.subarray(0, length));
    await check(Buffer.concat([good, Uint8Array.of(0)]));
    await check(good.subarray(1));
  });

  it.each(DAMAGED)('a %s file', async (_, damage) => {
    await run(model);
    const path = onlyLayout();
    const good = readFileSync(path);
    writeFileSync(path, damage(good));
    expect((await run(model)).logits).toEqual(plain.logits);
    expect(readFileSync(path).equals(good)).toBe(true);
  });

  it("another model's whole layout under its name", async () => {
    await run(gguf('Q8_0', 'llama'));
    const [other] = layoutsIn();
    await run(model);
    const path = layoutsIn()
      .filter((name) => name !== other)
      .map((name) => join(folder, name))[0]!;
    const good = readFileSync(path);
    rmSync(path);
    writeFileSync(path, readFileSync(join(folder, other!)));
    expect((await run(model)).logits).toEqual(plain.logits);
    expect(readFileSync(path).equals(good)).toBe(true);
  });

  it('one of another version of the engine', async () => {
    await run(model);
    const path = onlyLayout();
    const opened = (await openLayout(path))!;
    await opened.handle.close();
    expect(opened.description.engine).toMatch(/^onnxruntime \d+\.\d+\.\d+$/);
    const other = nodeEngine({ threads: 1 });
    const create: typeof other.runtime.InferenceSession.create = (bytes, options, provided, layouts) =>
      other.runtime.InferenceSession.create(
        bytes,
        options,
        provided,
        layouts && {
          keepsPacked: false,
          obtain: (weights, engine) => layouts.obtain(weights, { ...engine, name: 'onnxruntime 0.0.1' }),
          findPacked: () => Promise.resolve(undefined),
          keepPacked: () => Promise.resolve(undefined),
        },
      );
    const runtime = { ...other.runtime, InferenceSession: { create } };
    const { logits, read } = await run(model, { engine: { ...other, runtime } });
    expect(read).toBe(true);
    expect(logits).toEqual(plain.logits);
    expect(layoutsIn()).toHaveLength(2);
  });

  it.each(['a folder', 'a pipe'])('%s in its place: the model starts without', async (what) => {
    await run(model);
    const path = onlyLayout();
    rmSync(path);
    if (what === 'a folder') mkdirSync(path);
    else if (process.platform === 'win32') return;
    else expect((await startCommand('mkfifo', [path]).finished).code).toBe(0);
    expect((await run(model)).logits).toEqual(plain.logits);
  });
});

describe('several processes', () => {
  it('at once: both are right, one file remains', async () => {
    const program = await buildProgram('test/helpers/layout-child.node.ts');
    const children = [0, 1].map(() => start(program, [model, folder]).finished);
    for (const { code, stdout, stderr } of await Promise.all(children)) {
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toBe(hashOf(plain.logits));
    }
    expect(readdirSync(folder)).toEqual(layoutsIn());
    expect(layoutsIn()).toHaveLength(1);
    expect((await run(model)).read).toBe(false);
  });

  it('one that packs does not stop others', async () => {
    // The first is inside its first weight when the second starts, and waits there until it has finished.
    const opened = await openModel(model);
    let second: Promise<Started> | undefined;
    const first = createDecoder(opened, {
      ...{ threads: 1, layoutCache: { folder, minimumBytes: 0, settledMs: 0 } },
      onProgress: () => {
        second ??= run(model);
      },
    });
    const decoder = await first;
    expect((await second!).logits).toEqual(plain.logits);
    await decoder.release();
    await opened.checkpoint.tensors.close();
    expect(layoutsIn()).toHaveLength(1);
  });

  it('killed while it writes: the next one starts, and cleans up', async () => {
    const program = await buildProgram('test/helpers/layout-child.node.ts');
    const { signal } = await start(program, [model, folder, '5']).finished;
    expect(signal).toBe('SIGKILL');
    expect(layoutsIn()).toEqual([]);
    expect(readdirSync(folder).some((name) => name.includes('.partial-'))).toBe(true);
    expect((await run(model)).logits).toEqual(plain.logits);
    expect(readdirSync(folder)).toEqual(layoutsIn());
    expect((await run(model)).read).toBe(false);
  });
});

describe('a folder that cannot be written', () => {
  it.skipIf(process.platform === 'win32')(
    'a disk that takes no more: the model starts all the same',
    async () => {
      const program = await buildProgram('test/helpers/layout-child.node.ts');
      // No file may exceed 64 blocks of 512 or 1024 bytes.
      const command = `ulimit -f 64; exec "${process.execPath}" "${program}" "${model}" "${folder}"`;
      const { code, stdout, stderr } = await startCommand('sh', ['-c', command]).finished;
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toBe(hashOf(plain.logits));
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  it('a file instead of a folder', async () => {
    writeFileSync(folder, '');
    expect((await run(model)).logits).toEqual(plain.logits);
  });

  it.skipIf(process.platform !== 'linux')('a file system without permission', async () => {
    // Not even root makes folders there.
    const layoutCache = { folder: '/proc/ropewalk/layouts', minimumBytes: 0, settledMs: 0 };
    expect((await run(model, { layoutCache })).logits).toEqual(plain.logits);
  });

  it.skipIf(process.getuid?.() === 0)('a folder of somebody else: what it has is used', async () => {
    mkdirSync(folder, { mode: 0o500 });
    expect((await run(model)).logits).toEqual(plain.logits);
    chmodSync(folder, 0o700);
    await run(model);
    chmodSync(folder, 0o500);
    const { read, logits } = await run(model);
    chmodSync(folder, 0o700);
    expect(read).toBe(false);
    expect(logits).toEqual(plain.logits);
  });

  it('errors of the model itself are reported', async () => {
    const path = join(root, 'cut.gguf');
    writeFileSync(path, readFileSync(model));
    const opened = await openModel(path);
    writeFileSync(path, readFileSync(model).subarray(0, 300_000));
    const layoutCache = { folder, minimumBytes: 0, settledMs: 0 };
    await expect(createDecoder(opened, { threads: 1, layoutCache })).rejects.toThrow(/it ended at byte/);
    await opened.checkpoint.tensors.close();
    expect(layoutsIn()).toEqual([]);
  });
});

/**
 * Not what is right (see the tests of unpacking and quantizing), but what was: where these bytes change, layouts that
 * were kept before are wrong, and LAYOUT_VERSION must be raised together with them.
 */
describe('the bytes of a layout', () => {
  const BYTES = JSON.parse(readFileSync(new URL('./reference/layouts.json', import.meta.url), 'utf8')) as {
    version: number;
    hashes: Record<string, string>;
  };

  it('are those of its version', async () => {
    const { LAYOUT_VERSION } = await import('../src/checkpoint/layouts/layout-file.node.ts');
    const hashes: Record<string, string> = {};
    const add = async (name: string) => {
      const path = onlyLayout();
      const opened = (await openLayout(path))!;
      await opened.handle.close();
      const bytes = readFileSync(path).subarray(0, opened.description.bytes);
      hashes[name] = createHash('sha256').update(bytes).digest('hex');
      rmSync(path);
    };
    for (const type of ['Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q4_K', 'Q5_K', 'Q6_K'] as const) {
      await run(gguf(type, 'llama'));
      await add(type);
    }
    for (const bits of [4, 8] as const) {
      for (const block of [32, 64, 128] as const) {
        await run(model, { quantize: { bits, block } });
        await add(`int${bits}, blocks of ${block}`);
      }
    }
    if (process.env.WRITE_LAYOUT_HASHES) {
      const text = JSON.stringify({ version: LAYOUT_VERSION, hashes }, null, 2);
      writeFileSync(new URL('./reference/layouts.json', import.meta.url), `${text}\n`);
    }
    expect({ version: LAYOUT_VERSION, hashes }).toEqual(BYTES);
  });
});
