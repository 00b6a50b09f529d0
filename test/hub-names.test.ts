import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { askingForFile } from '../src/cli/terminal/choose-file.ts';
import { resolveData } from '../src/data/reading/resolve-data.node.ts';
import { RopewalkError } from '../src/errors.ts';
import type { SeveralFilesError } from '../src/hub/choose.ts';
import { type PullOptions, pullModel } from '../src/hub/pull.node.ts';
import { resolveModel } from '../src/hub/resolve.node.ts';
import { ROOT, ropewalk } from './helpers/cli.node.ts';
import { COMMIT, type FakeHub, type FakeModel, sha256, startHub } from './helpers/hub.node.ts';

/** How models of the hub are named, listed and found; the hub is a server of ours. */

const llama = Object.fromEntries(
  ['config.json', 'generation_config.json', 'model.safetensors'].map((name) => [
    name,
    readFileSync(join(ROOT, 'test/reference/llama', name)),
  ]),
);
const model: FakeModel = { commit: COMMIT, revisions: ['refs/pr/7'], files: llama };
const q4 = randomBytes(5000);
const ggufs: FakeModel = {
  commit: COMMIT,
  files: {
    'a-Q4_K_M.gguf': q4,
    'a-IQ4_K_M.gguf': randomBytes(4000),
    'sub/a-Q8_0-00001-of-00002.gguf': randomBytes(3000),
    'sub/a-Q8_0-00002-of-00002.gguf': randomBytes(2000),
    'mmproj-a-Q8_0.gguf': randomBytes(100),
  },
};

const root = mkdtempSync(join(tmpdir(), 'ropewalk-names-'));
let hub: FakeHub;
let cache: string;
let count = 0;
let options: PullOptions;

beforeAll(() => {
  for (const name of Object.keys(process.env)) {
    if (/^(?:HF|HUGGING|TRANSFORMERS)_|_PROXY$/i.test(name)) delete process.env[name];
  }
  process.env.HF_HOME = join(root, 'home');
});
beforeEach(async () => {
  cache = join(root, `cache${count++}`);
  hub = await startHub({ 'acme/rope': model, gpt9: model, 'acme/rope-GGUF': ggufs });
  options = { cache, endpoint: hub.endpoint };
});
afterEach(() => hub.close());
afterAll(() => rmSync(root, { recursive: true }));

const snapshot = (folder = 'models--acme--rope', commit = COMMIT) => join(cache, folder, 'snapshots', commit);
const run = (...args: string[]) =>
  ropewalk(args, { env: { ...process.env, HF_HUB_CACHE: cache, HF_ENDPOINT: hub.endpoint } });

/** The one line of the RopewalkError that a promise is rejected with. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    (value) => new Error(`it was accepted: ${value}`),
    (reason: unknown) => reason,
  );
  expect(error, String(error)).toBeInstanceOf(RopewalkError);
  return (error as RopewalkError).message;
}

describe('a model can be named', () => {
  it('by the address of its page, of a revision or of a file', async () => {
    for (const page of ['', '/', '/tree/main', '/tree/refs%2Fpr%2F7', `/commit/${COMMIT}`, '?x=1#y']) {
      const address = `https://huggingface.co/acme/rope${page}`;
      expect(await resolveModel(address, options), page).toBe(snapshot());
      expect(await pullModel(`${hub.endpoint}/acme/rope${page}`, options), page).toBe(snapshot());
    }
    const file = `${hub.endpoint}/acme/rope-GGUF/blob/main/a-Q4_K_M.gguf`;
    expect(readFileSync(await resolveModel(file, options)).equals(q4)).toBe(true);
    expect(await refusal(resolveModel('https://example.com/acme/rope', options))).toContain(
      `not an address of ${hub.endpoint}`,
    );
    expect(await refusal(resolveModel(`${hub.endpoint}/datasets/acme/rope`, options))).toContain(
      'of a dataset',
    );
    expect(await refusal(resolveModel(`${hub.endpoint}/acme/rope/blob/main/config.json`, options))).toContain(
      'is not a GGUF file',
    );
  });

  it('without an organization, and is cached in the folder that Python uses', async () => {
    expect(await resolveModel('gpt9', options)).toBe(snapshot('models--gpt9'));
    expect(await resolveModel('gpt9', { ...options, offline: true })).toBe(snapshot('models--gpt9'));
    expect(await refusal(resolveModel('gpt8', options))).toMatch(
      /"gpt8": no such file or folder here; as a model on the hub: .*404/,
    );
    expect(await refusal(resolveModel('gpt8', { ...options, offline: true }))).toMatch(
      /"gpt8": no such file or folder here; as a model on the hub: .*offline/,
    );
    // A file's name is not looked up.
    const asked = hub.requests.length;
    expect(await refusal(resolveModel('model.gguf', options))).toContain('no such file or folder');
    expect(hub.requests.length).toBe(asked);
  });

  it('in commands, where a mistyped preset gets a list of presets', async () => {
    const inspected = await run('inspect', 'gpt9', '--json');
    expect(inspected.code, inspected.stderr).toBe(0);
    expect(JSON.parse(inspected.stdout).family).toBe('llama');
    const address = await run('score', `${hub.endpoint}/acme/rope/tree/main`, '--ids', '1,5,9', '--json');
    expect(address.code, address.stderr).toBe(0);
    const mistyped = await run('inspect', 'lama');
    expect(mistyped.code).toBe(1);
    expect(mistyped.stderr).toMatch(/as a model on the hub: .*nor is it a preset: .*llama/);
  });

  it('in the same ways as a dataset', async () => {
    const rows = Buffer.from('{"text": "a rope"}\n');
    for (const id of ['datasets/acme/lines', 'datasets/lines']) {
      hub.models.set(id, { commit: COMMIT, files: { 'train.jsonl': rows, 'test.jsonl': rows } });
    }
    const path = join(cache, 'datasets--acme--lines', 'snapshots', COMMIT, 'train.jsonl');
    for (const name of [
      'https://huggingface.co/datasets/acme/lines',
      `${hub.endpoint}/datasets/acme/lines/tree/main`,
      `${hub.endpoint}/datasets/acme/lines/blob/main/train.jsonl`,
    ]) {
      expect(await resolveData([name], options), name).toEqual([path]);
    }
    expect(await refusal(resolveData([`${hub.endpoint}/acme/rope`], options))).toContain(
      'not the address of a dataset',
    );
  });
});

describe('a GGUF file on the hub is chosen', () => {
  it('by its quantization at the end of the file name', async () => {
    const path = join(snapshot('models--acme--rope-GGUF'), 'a-Q4_K_M.gguf');
    expect(await resolveModel('acme/rope-GGUF:Q4_K_M', options)).toBe(path);
    expect(await resolveModel('hf.co/acme/rope-GGUF:q4_k_m', { ...options, offline: true })).toBe(path);
    // In the cache as Python keeps it, without the list of files.
    rmSync(join(cache, 'models--acme--rope-GGUF', '.ropewalk'), { recursive: true });
    expect(await resolveModel('acme/rope-GGUF:Q4_K_M', { ...options, offline: true })).toBe(path);
    expect(await refusal(resolveModel('acme/rope-GGUF:Q5_K_M', { ...options, offline: true }))).toContain(
      'missing a GGUF file of Q5_K_M',
    );
    expect(await refusal(resolveModel('acme/rope-GGUF:Q5_K_M', options))).toContain(
      'no GGUF file of "Q5_K_M"; it has a-Q4_K_M.gguf (5 kB), a-IQ4_K_M.gguf (4 kB), ',
    );
    expect(await refusal(resolveModel('acme/rope-GGUF:Q8_0', options))).toContain(
      'has several GGUF files of Q8_0; choose one',
    );
  });

  it('by asking a person at a terminal', async () => {
    const terminal = () => Object.assign(new PassThrough(), { isTTY: true, columns: 100 });
    const [input, output] = [terminal(), terminal()];
    let shown = '';
    output.on('data', (data: Buffer) => {
      const before = shown;
      shown += String(data);
      const asked = (text: string) => text.split('Which file?').length;
      if (asked(shown) > asked(before)) input.write(asked(shown) === 2 ? '9\r' : '3\r');
    });
    const open = (id: string) => pullModel(id, options);
    const path = await askingForFile('acme/rope-GGUF@main', open, { input, output });
    expect(path).toBe(join(snapshot('models--acme--rope-GGUF'), 'sub', 'a-Q8_0-00001-of-00002.gguf'));
    shown = stripVTControlCharacters(shown);
    expect(shown).toMatch(/1 {2}a-Q4_K_M\.gguf .*5 kB/);
    expect(shown).toMatch(/3 {2}sub\/a-Q8_0-00001-of-00002\.gguf .*5 kB/);
    expect(shown).not.toContain('mmproj');
    // The input ends without an answer.
    const ended = terminal();
    const nothing = askingForFile(
      'acme/rope-GGUF',
      (id) => pullModel(id, { ...options, cache: `${cache}x` }),
      {
        input: ended,
        output: terminal(),
      },
    );
    ended.end();
    expect(await refusal(nothing)).toContain('no file was chosen');
  });

  it('by name only, after an error that lists sizes, when nobody can be asked', async () => {
    const { code, stderr } = await run('pull', 'acme/rope-GGUF');
    expect(code).toBe(1);
    expect(stderr).toContain(
      'a-Q4_K_M.gguf (5 kB), a-IQ4_K_M.gguf (4 kB), sub/a-Q8_0-00001-of-00002.gguf (5 kB)',
    );
    const pulled = await run('pull', 'acme/rope-GGUF', '--file', 'iq4_k_m');
    expect(pulled.code, pulled.stderr).toBe(0);
    const error = await pullModel('acme/rope-GGUF', options).catch((reason: unknown) => reason);
    expect((error as SeveralFilesError).files).toEqual([
      { path: 'a-Q4_K_M.gguf', size: 5000 },
      { path: 'a-IQ4_K_M.gguf', size: 4000 },
      { path: 'sub/a-Q8_0-00001-of-00002.gguf', size: 5000 },
    ]);
  });
});

describe('a file list of the hub without hashes', () => {
  beforeEach(() => {
    hub.models.set('acme/rope', { ...model, namesOnly: true });
  });

  it('is completed by asking for each wanted file, with hashes checked as ever', async () => {
    expect(await pullModel('acme/rope', { ...options, weights: false })).toBe(snapshot());
    expect(existsSync(join(snapshot(), 'model.safetensors'))).toBe(false);
    expect(await pullModel('acme/rope', options)).toBe(snapshot());
    for (const [name, data] of Object.entries(llama)) {
      expect(readFileSync(join(snapshot(), name)).equals(data), name).toBe(true);
    }
    const heads = hub.requests.filter(({ method }) => method === 'HEAD');
    expect(heads.some(({ url }) => url.endsWith(`/resolve/${COMMIT}/model.safetensors`))).toBe(true);
    // The signed links of storage are for GET.
    expect(hub.storageRequests.map(({ method }) => method)).toEqual(['GET']);
    expect(existsSync(join(cache, 'models--acme--rope', 'blobs', sha256(llama['model.safetensors']!)))).toBe(
      true,
    );
    const asked = hub.requests.length;
    expect(await pullModel('acme/rope', options)).toBe(snapshot());
    expect(hub.requests.length).toBe(asked);
  });

  it('is refused when the files have no hashes either, or belong to another commit', async () => {
    const heads =
      (headers: Record<string, string>) => (request: IncomingMessage, response: ServerResponse) => {
        if (request.method !== 'HEAD') return false;
        response.writeHead(200, headers).end();
        return true;
      };
    hub.fault = heads({ etag: '"abc"', 'content-length': '5' });
    expect(await refusal(pullModel('acme/rope', options))).toMatch(
      /a hash neither in its list nor with .*config\.json/,
    );
    hub.fault = heads({ etag: `"${'a'.repeat(40)}"`, 'transfer-encoding': 'chunked' });
    expect(await refusal(pullModel('acme/rope', options))).toContain('a size');
    hub.fault = heads({
      etag: `"${'a'.repeat(40)}"`,
      'content-length': '5',
      'x-repo-commit': 'f'.repeat(40),
    });
    expect(await refusal(pullModel('acme/rope', options))).toContain('another version');
    hub.fault = heads({ etag: `"${'a'.repeat(40)}"`, 'content-length': '5' });
    expect(await refusal(pullModel('acme/rope', options))).toContain(
      'config.json: the server sent more than its 5 bytes',
    );
  });
});

describe('a complete snapshot without a ref in the hub cache', () => {
  const other = 'f'.repeat(40);

  it('opens without a network', async () => {
    await pullModel('acme/rope', { ...options, revision: COMMIT });
    expect(existsSync(join(cache, 'models--acme--rope', 'refs'))).toBe(false);
    expect(await resolveModel('acme/rope', { ...options, offline: true })).toBe(snapshot());
    expect(await refusal(resolveModel('acme/rope@v1', { ...options, offline: true }))).toContain('offline');
    // Of a snapshot that was copied, the files are all there is.
    rmSync(join(cache, 'models--acme--rope', '.ropewalk'), { recursive: true });
    cpSync(join(ROOT, 'test/reference/llama/config.json'), join(snapshot(), 'tokenizer.json'));
    await hub.close();
    expect(await resolveModel('acme/rope', { ...options, offline: true })).toBe(snapshot());
    expect(await resolveModel('acme/rope', options)).toBe(snapshot());
  });

  it('is not chosen when there are several, nor when it is incomplete', async () => {
    await pullModel('acme/rope', { ...options, revision: COMMIT });
    cpSync(snapshot(), snapshot(undefined, other), { recursive: true, verbatimSymlinks: true });
    const offline = { ...options, offline: true };
    renameSync(join(snapshot(), 'model.safetensors'), join(root, 'aside'));
    // The copy has no list of files; the other one lacks its weights.
    expect(await refusal(resolveModel('acme/rope', offline))).toContain('missing');
    cpSync(
      join(ROOT, 'test/reference/llama/config.json'),
      join(snapshot(undefined, other), 'tokenizer.json'),
    );
    expect(await resolveModel('acme/rope', offline)).toBe(snapshot(undefined, other));
    renameSync(join(root, 'aside'), join(snapshot(), 'model.safetensors'));
    expect(await refusal(resolveModel('acme/rope', offline))).toContain(
      `which of the commits ${COMMIT}, ${other} is main`,
    );
    expect(await resolveModel(`acme/rope@${other}`, offline)).toBe(snapshot(undefined, other));
  });
});
