import { readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { layoutCacheSettings } from '../src/checkpoint/layouts/settings.node.ts';
import { buildProgram, start } from './helpers/cli.node.ts';
import { layoutTests } from './helpers/layouts.node.ts';

/** The cache of layouts: its size, its settings and the command that looks after it. What is in it: layouts.test.ts. */

const { root, remove, newCache, run, layoutsIn, onlyLayout, gguf } = layoutTests('layout-cache');
afterAll(remove);

let folder: string;
beforeEach(() => {
  folder = newCache();
});

/** A small model whose layout is some 800 kB: several weights, a tied head. */
const model = gguf('Q8_0', 'gemma');

describe('the size of the cache', () => {
  it('is bounded: the least recently used layouts go first', async () => {
    const models = ['Q8_0', 'Q4_0', 'Q5_0'].map((type) => gguf(type as 'Q8_0', 'gemma'));
    const sizes: number[] = [];
    for (const [i, path] of models.slice(0, 2).entries()) {
      await run(path);
      const name = layoutsIn().find((each) => statSync(join(folder, each)).mtimeMs > 1e12)!;
      sizes.push(statSync(join(folder, name)).size);
      utimesSync(join(folder, name), new Date(1e9 + i), new Date(1e9 + i));
    }
    // Using the first makes the second the one that was not used for longest.
    expect((await run(models[0]!)).read).toBe(false);
    const limitBytes = sizes[0]! * 2 + 1000;
    await run(models[2]!, { layoutCache: { folder, minimumBytes: 0, settledMs: 0, limitBytes } });
    expect(layoutsIn()).toHaveLength(2);
    expect((await run(models[0]!)).read).toBe(false);
    expect((await run(models[2]!)).read).toBe(false);
    expect((await run(models[1]!)).read).toBe(true);
  });

  it('keeps neither more than its limit nor small models', async () => {
    await run(model, { layoutCache: { folder, minimumBytes: 0, settledMs: 0, limitBytes: 1000 } });
    await run(model, { layoutCache: { folder, settledMs: 0 } });
    expect(layoutsIn()).toEqual([]);
  });
});

describe('settings', () => {
  it('come from the options, else from the environment', async () => {
    const usual = await layoutCacheSettings({}, { XDG_CACHE_HOME: '/caches' });
    expect(usual).toMatchObject({ folder: '/caches/ropewalk/layouts', limitBytes: 20e9, minimumBytes: 32e6 });
    const set = { ROPEWALK_LAYOUT_CACHE: '/here', ROPEWALK_LAYOUT_CACHE_SIZE: '5GB' };
    expect(await layoutCacheSettings({}, set)).toMatchObject({ folder: '/here', limitBytes: 5e9 });
    expect(await layoutCacheSettings({ folder: '/there', limitBytes: 7 }, set)).toMatchObject({
      folder: '/there',
      limitBytes: 7,
    });
    expect(await layoutCacheSettings({}, { ROPEWALK_LAYOUT_CACHE: 'off' })).toBe(undefined);
    await expect(layoutCacheSettings({}, { ROPEWALK_LAYOUT_CACHE_SIZE: 'much' })).rejects.toThrow(
      /ROPEWALK_LAYOUT_CACHE_SIZE is "much"; give a size such as 500MB or 5GB/,
    );
  });
});

describe('ropewalk cache', () => {
  const cache = async (...args: string[]) => {
    const program = await buildProgram('bin/ropewalk.js');
    const env = { ...process.env, HF_HUB_CACHE: join(root, 'hub'), ROPEWALK_LAYOUT_CACHE: folder };
    return start(program, ['cache', ...args], { env }).finished;
  };

  it('lists, verifies, prunes and removes layouts', async () => {
    const copy = join(root, 'copy.gguf');
    writeFileSync(copy, readFileSync(model));
    await run(copy);
    const gone = onlyLayout();
    rmSync(copy);
    await run(model);
    const path = layoutsIn()
      .map((name) => join(folder, name))
      .find((each) => each !== gone)!;
    const id = `layout:${path.slice(-47, -35)}`;
    const listed = await cache('list', '--json');
    const { layouts } = JSON.parse(listed.stdout) as { layouts: { folder: string; files: object[] } };
    expect(layouts.folder).toBe(folder);
    const { size } = statSync(path);
    expect(layouts.files).toContainEqual(
      expect.objectContaining({ id, path, bytes: size, source: model, form: 'as stored' }),
    );
    expect((await cache('list')).stdout).toContain(`${id}  ${model} (as stored)`);

    expect(await cache('verify')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^2 files, .*: 0 damaged/),
    });
    const bytes = Uint8Array.from(readFileSync(path));
    bytes[1000]! ^= 1;
    writeFileSync(path, bytes);
    const verified = await cache('verify', 'layouts');
    expect(verified.code).toBe(1);
    expect(verified.stdout).toContain(`damaged  ${id}  ${path}`);
    expect(verified.stderr).toContain('Damaged layouts are made again when their model is loaded.');

    // What is cut off, what a killed process left behind, and what belongs to no model any more.
    writeFileSync(path, bytes.subarray(0, 5000));
    const partial = join(folder, '.x.layout.partial-nobody-1-1000-0123abcd');
    writeFileSync(partial, 'x');
    const dry = await cache('prune', '--dry-run', '--json');
    const { removals } = JSON.parse(dry.stdout) as { removals: { path: string; reason: string }[] };
    expect(new Map(removals.map((each) => [each.path, each.reason]))).toEqual(
      new Map([
        [partial, 'interrupted'],
        [path, 'damaged'],
        [gone, 'model is gone'],
      ]),
    );
    expect(layoutsIn()).toHaveLength(2);
    expect((await cache('prune')).code).toBe(0);
    expect(readdirSync(folder)).toEqual([]);

    await run(model);
    expect((await cache('remove', 'layouts')).stdout).toContain(`${id}  asked for`);
    expect(layoutsIn()).toEqual([]);
    expect((await cache('remove', id)).stderr).toContain(`${id} is not in the cache`);
  });
});
