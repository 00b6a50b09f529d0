import { existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { LayoutCacheOptions } from '../src/checkpoint/layouts/settings.node.ts';
import { openModel } from '../src/checkpoint/load.node.ts';
import { createDecoder, type DecoderOptions, keepPacked } from '../src/generation/decoder.node.ts';
import { buildProgram, start, startCommand } from './helpers/cli.node.ts';
import { DAMAGED, layoutTests, replaceFile, withFlippedBit } from './helpers/layouts.node.ts';
import { saveUntrained } from './helpers/models.node.ts';

/**
 * Files with the engine's packed form of a model. Whatever happens to them, the logits are those without any file, which
 * other tests compare with their references.
 */

const { root, remove, newCache, run, layoutsIn, gguf } = layoutTests('packed');
afterAll(remove);

let folder: string;
beforeEach(() => {
  folder = newCache();
});

const model = gguf('Q8_0', 'gemma');
const plain = await run(model, { layoutCache: false });

const packedIn = () =>
  existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.packed')) : [];
const onlyPacked = () => {
  const names = packedIn();
  expect(names).toHaveLength(1);
  return join(folder, names[0]!);
};

async function pack(path: string, options: Omit<DecoderOptions, 'layoutCache' | 'engine'> = {}) {
  const opened = await openModel(path);
  try {
    return await keepPacked(opened, { threads: 1, ...options, layoutCache: { folder, settledMs: 0 } });
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

/** The files of the cache that this process has mapped. */
const mapped = () =>
  readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`${folder}/`) && line.endsWith('.packed')).length;

describe('a start with a packed form', () => {
  it.each([
    ['Q8_0', 'llama'],
    ['Q4_0', 'llama'],
    ['Q4_1', 'gemma3'],
    ['Q6_K', 'gemma2'],
    ['Q4_K', 'gpt2'],
    ['Q8_0', 'qwen2'],
  ] as const)('reads nothing from the model, and has the same logits: %s, %s', async (type, family) => {
    const path = gguf(type, family);
    for (const activations of ['exact', 'int8'] as const) {
      const without = await run(path, { activations, layoutCache: false });
      expect(await pack(path, { activations })).toBeGreaterThan(0);
      const started = await run(path, { activations });
      expect(started.read).toBe(false);
      expect(started.logits).toEqual(without.logits);
    }
    // Products of exact and of rounded activations are packed differently.
    expect(packedIn()).toHaveLength(2);
    expect(layoutsIn()).toHaveLength(1);
  });

  it('of weights that were quantized here, and of those that stay float32', async () => {
    const path = join(root, 'untrained');
    await saveUntrained(path, { vocab_size: 320 });
    for (const quantize of [
      { bits: 4, block: 32 },
      { bits: 8, block: 64 },
    ] as const) {
      await pack(path, { quantize });
      const started = await run(path, { quantize });
      expect(started.read).toBe(false);
      expect(started.logits).toEqual((await run(path, { quantize, layoutCache: false })).logits);
    }
    await expect(pack(path, { quantize: 'none' })).rejects.toThrow(/reads its weights in place/);
  });

  it.skipIf(process.platform !== 'linux')('maps its file until the model is released', async () => {
    await pack(model);
    expect(mapped()).toBe(0);
    const opened = await openModel(model);
    const layoutCache = { folder, settledMs: 0 };
    const decoder = await createDecoder(opened, { threads: 1, layoutCache });
    expect(mapped()).toBeGreaterThan(0);
    await decoder.release();
    await opened.checkpoint.tensors.close();
    expect(mapped()).toBe(0);
  });
});

describe('a damaged packed form is not used', () => {
  it.each([
    ['its first byte', 0],
    ['the middle', 0.5],
    ['the end of the weights', 0.9],
    ['the description', 0.999],
  ])('a flipped bit in %s', async (_, share) => {
    await pack(model);
    const path = onlyPacked();
    const bad = withFlippedBit(readFileSync(path), share);
    replaceFile(path, bad);
    expect((await run(model)).logits).toEqual(plain.logits);
    await pack(model);
    expect((await run(model)).logits).toEqual(plain.logits);
    expect(readFileSync(onlyPacked())).not.toEqual(Buffer.from(bad));
  });

  it('a flipped bit anywhere in its weights', async () => {
    await pack(model);
    const path = onlyPacked();
    const good = readFileSync(path);
    for (let share = 0.02; share < 0.9; share += 0.11) {
      replaceFile(path, withFlippedBit(good, share));
      expect((await run(model)).logits).toEqual(plain.logits);
      expect(packedIn()).toEqual([]);
    }
  });

  it.each(DAMAGED)('a %s file', async (_, damage) => {
    await pack(model);
    const path = onlyPacked();
    writeFileSync(path, damage(readFileSync(path)));
    expect((await run(model)).logits).toEqual(plain.logits);
    await pack(model);
    expect((await run(model)).read).toBe(false);
  });

  it("another model's file under its name", async () => {
    const other = gguf('Q8_0', 'gemma2');
    await pack(model);
    const path = onlyPacked();
    folder = newCache();
    await pack(other);
    writeFileSync(onlyPacked(), readFileSync(path));
    expect((await run(other)).logits).toEqual((await run(other, { layoutCache: false })).logits);
  });
});

describe('while it is written', () => {
  it('two processes at once, and a start meanwhile: all are right', async () => {
    const [, , started] = await Promise.allSettled([pack(model), pack(model), run(model)]);
    expect(started).toMatchObject({ status: 'fulfilled', value: { logits: plain.logits } });
    expect(packedIn()).toHaveLength(1);
    expect((await run(model)).logits).toEqual(plain.logits);
  });

  it('killed: the next start is right, and what was written is removed', async () => {
    const program = await buildProgram('test/helpers/packed-child.node.ts');
    const { signal } = await start(program, [model, folder, 'kill']).finished;
    expect(signal).toBe('SIGKILL');
    expect(packedIn()).toEqual([]);
    expect(readdirSync(folder).some((name) => name.includes('.partial-'))).toBe(true);
    expect((await run(model)).logits).toEqual(plain.logits);
    await pack(model);
    expect(readdirSync(folder).sort()).toEqual([...packedIn(), ...layoutsIn()].sort());
  });

  it.skipIf(process.platform === 'win32')('a disk that takes no more: nothing is kept', async () => {
    const program = await buildProgram('test/helpers/packed-child.node.ts');
    await run(model);
    // No file may exceed 1000 blocks of 512 or 1024 bytes.
    const command = `ulimit -f 1000; exec "${process.execPath}" "${program}" "${model}" "${folder}"`;
    const { code, stderr } = await startCommand('sh', ['-c', command]).finished;
    expect([code, stderr]).toEqual([0, '']);
    expect(packedIn()).toEqual([]);
    expect(readdirSync(folder)).toEqual(layoutsIn());
    expect((await run(model)).logits).toEqual(plain.logits);
  });
});

describe('says why it is not kept:', () => {
  const packIn = async (layoutCache: LayoutCacheOptions) => {
    const opened = await openModel(model);
    try {
      return await keepPacked(opened, { threads: 1, layoutCache });
    } finally {
      await opened.checkpoint.tensors.close();
    }
  };

  it('the limit of the cache', async () => {
    await expect(packIn({ folder, settledMs: 0, limitBytes: 1e5 })).rejects.toThrow(
      /it takes up to \d+ MB, and all together may take 1 MB; see ROPEWALK_LAYOUT_CACHE_SIZE/,
    );
  });

  it('files that have just changed', async () => {
    const later = new Date(Date.now() + 3600_000);
    const { atime, mtime } = statSync(model);
    utimesSync(model, later, later);
    await expect(packIn({ folder })).rejects.toThrow(/its files have just changed; try again/);
    utimesSync(model, atime, mtime);
  });

  it.skipIf(process.platform !== 'linux')('a folder that cannot be made', async () => {
    // Not even root makes folders there.
    const packing = packIn({ folder: '/proc/ropewalk/layouts', settledMs: 0 });
    await expect(packing).rejects.toThrow(/cannot write \/proc\/ropewalk/);
  });
});

describe('ropewalk cache pack', () => {
  it('keeps the form, which is listed, verified and removed like others', async () => {
    const program = await buildProgram('bin/ropewalk.js');
    const env = { ...process.env, HF_HUB_CACHE: join(root, 'hub'), ROPEWALK_LAYOUT_CACHE: folder };
    const cache = (...args: string[]) => start(program, ['cache', ...args], { env }).finished;
    await new Promise((resolve) => setTimeout(resolve, 2100));
    const packed = await cache('pack', model, '--threads', '1');
    expect(packed).toMatchObject({ code: 0, stderr: '' });
    expect(packed.stdout).toMatch(/^[\d.]+ [kM]B kept of .*gguf\n$/);
    const id = `layout:${onlyPacked().slice(-47, -35)}`;
    expect((await cache('list')).stdout).toContain(`${id}  ${model} (as stored, packed)`);
    expect(await cache('verify', 'layouts')).toMatchObject({ code: 0 });
    expect((await cache('remove', 'layouts')).code).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
    const off = { ...env, ROPEWALK_LAYOUT_CACHE: 'off' };
    const { code, stderr } = await start(program, ['cache', 'pack', model], { env: off }).finished;
    expect([code, stderr]).toEqual([1, expect.stringContaining('ROPEWALK_LAYOUT_CACHE is off')]);
  });
});
