import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { pullModel } from '../src/hub/pull.node.ts';
import { buildProgram, ROOT, start } from './helpers/cli.node.ts';
import { COMMIT, type FakeHub, gitHash, sha256, startHub } from './helpers/hub.node.ts';

const ID = 'acme/rope';
const NEWER = 'f'.repeat(40);
const reference = (name: string) => readFileSync(join(ROOT, 'test/reference/llama', name));
const config = reference('config.json');
const weights = Buffer.alloc(200_000, 7);
const files = {
  'config.json': config,
  'tokenizer.json': Buffer.from('{"a": 1}'),
  'model.safetensors': weights,
};

let hub: FakeHub;
let root: string;
let cache: string;
let program: string;
let count = 0;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'ropewalk-cache-'));
  hub = await startHub();
  program = await buildProgram('bin/ropewalk.js');
});
afterAll(async () => {
  await hub.close();
  rmSync(root, { recursive: true, force: true });
});
beforeEach(async () => {
  cache = join(root, `hub${count++}`);
  hub.models.set(ID, { commit: COMMIT, files });
  await pull();
});

const pull = (options = {}) => pullModel(ID, { cache, endpoint: hub.endpoint, ...options });
const folder = () => join(cache, 'models--acme--rope');
const blob = (name: string) => join(folder(), 'blobs', name);

async function run(...args: string[]) {
  const env = { HF_HUB_CACHE: cache, HF_HUB_OFFLINE: '1' };
  return start(program, ['cache', ...args], { env: { ...process.env, ...env } }).finished;
}

async function json(...args: string[]) {
  const { stdout, stderr } = await run(...args, '--json');
  expect(stdout, stderr).not.toBe('');
  return JSON.parse(stdout);
}

/** Another commit with other weights, pulled in place of the first one. */
async function supersede(): Promise<Buffer> {
  const newer = Buffer.alloc(100_000, 8);
  hub.models.set(ID, { commit: NEWER, files: { ...files, 'model.safetensors': newer } });
  await pull({ update: true });
  return newer;
}

describe('ropewalk cache', () => {
  it('lists what was pulled, with sizes', async () => {
    const bytes = Object.values(files).reduce((sum, { length }) => sum + length, 0);
    expect(await json('list')).toEqual({
      folder: cache,
      repositories: [
        {
          ...{ kind: 'models', id: ID, folder: folder(), bytes, partialBytes: 0 },
          revisions: [{ commit: COMMIT, refs: ['main'], files: 3 }],
        },
      ],
    });
    const { stdout, code } = await run();
    expect(code).toBe(0);
    expect(stdout).toMatch(/201 kB {2}acme\/rope {2}main\n/);
  });

  it('verifies whole files, and finds one that was changed or is gone', async () => {
    expect(await json('verify')).toMatchObject({ files: 3, problems: [], unchecked: 0 });
    const changed = Buffer.from(weights);
    changed[100]! ^= 1;
    writeFileSync(blob(sha256(weights)), changed);
    rmSync(blob(gitHash(config)));
    const { stdout, code, stderr } = await run('verify', ID);
    expect(code).toBe(1);
    expect(stdout).toContain(`damaged  acme/rope  ${blob(sha256(weights))}\n`);
    expect(stdout).toContain(`missing  acme/rope  ${join(folder(), 'snapshots', COMMIT, 'config.json')}\n`);
    expect(stdout).toContain('2 files, 201 kB: 2 damaged or missing');
    expect(stderr).toContain('ropewalk cache remove ID, then ropewalk pull ID');
  });

  it('prunes superseded revisions, their files and old interrupted downloads, and nothing else', async () => {
    const newer = await supersede();
    const [old, recent] = [blob('a'.repeat(64)), blob('b'.repeat(64))].map((path) => `${path}.incomplete`);
    for (const path of [old!, recent!]) writeFileSync(path, 'half');
    const before = (Date.now() - 2 * 24 * 3600 * 1000) / 1000;
    utimesSync(old!, before, before);
    const dry = await json('prune', '--dry-run');
    expect(dry.removals.map(({ path, reason }: { path: string; reason: string }) => [path, reason])).toEqual([
      [old, 'interrupted download'],
      [join(folder(), 'snapshots', COMMIT), 'superseded revision'],
      [blob(sha256(weights)), 'unused file'],
    ]);
    expect(existsSync(old!)).toBe(true);
    expect((await json('prune')).removals).toEqual(dry.removals);
    expect(readdirSync(join(folder(), 'blobs')).sort()).toEqual(
      [
        sha256(newer),
        gitHash(config),
        gitHash(files['tokenizer.json']),
        `${'b'.repeat(64)}.incomplete`,
      ].sort(),
    );
    expect(await json('verify')).toMatchObject({ files: 3, problems: [] });
    expect((await json('prune')).removals).toEqual([]);
    // What is left is a whole model, and what is gone can be pulled again.
    hub.storageRequests.length = 0;
    await pull({ update: true });
    expect(hub.storageRequests).toEqual([]);
    hub.models.set(ID, { commit: COMMIT, files });
    await pull({ revision: COMMIT });
    expect(readFileSync(join(folder(), 'snapshots', COMMIT, 'model.safetensors')).equals(weights)).toBe(true);
  });

  it('keeps files of snapshots that are copies: which they are cannot be told', async () => {
    cache = join(root, `hub${count++}`);
    hub.models.set(ID, { commit: COMMIT, files });
    const { HF_HUB_DISABLE_SYMLINKS: before } = process.env;
    process.env.HF_HUB_DISABLE_SYMLINKS = '1';
    try {
      await pull();
    } finally {
      if (before === undefined) delete process.env.HF_HUB_DISABLE_SYMLINKS;
      else process.env.HF_HUB_DISABLE_SYMLINKS = before;
    }
    expect((await json('prune')).removals).toEqual([]);
    expect(await json('verify')).toMatchObject({ files: 3, problems: [] });
  });

  it('removes a model, but not while it is being downloaded', async () => {
    hub.models.set(ID, { commit: NEWER, files: { ...files, 'model.safetensors': Buffer.alloc(300_000, 9) } });
    let held: (() => void) | undefined;
    hub.storageFault = async () => {
      await new Promise<void>((resolve) => {
        held = resolve;
      });
      return false;
    };
    const pulling = pull({ update: true });
    while (!held) await new Promise((resolve) => setTimeout(resolve, 5));
    const refused = await run('remove', ID);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('acme/rope: another process is downloading files of it');
    hub.storageFault = undefined;
    held();
    await pulling;
    expect((await run('remove', ID, '--dry-run')).stdout).toContain('would be removed');
    expect(existsSync(folder())).toBe(true);
    expect((await run('remove', ID)).code).toBe(0);
    expect(existsSync(folder())).toBe(false);
    expect((await json('list')).repositories).toEqual([]);
  });

  it('does not leave the cache: a link in place of a model is no model', async () => {
    const elsewhere = join(root, `elsewhere${count}`);
    mkdirSync(join(elsewhere, 'blobs'), { recursive: true });
    writeFileSync(join(elsewhere, 'blobs', 'mine'), 'mine');
    symlinkSync(elsewhere, join(cache, 'models--acme--other'));
    expect((await json('list')).repositories).toHaveLength(1);
    expect((await run('remove', 'acme/other')).stderr).toContain('acme/other is not in the cache');
    expect(existsSync(join(elsewhere, 'blobs', 'mine'))).toBe(true);
  });

  it('is empty where there is no folder', async () => {
    cache = join(root, 'none');
    expect(await json('list')).toEqual({ folder: cache, repositories: [] });
    expect((await run('verify')).code).toBe(0);
  });
});
