import { randomBytes } from 'node:crypto';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { RopewalkError } from '../src/errors.ts';
import { type PullOptions, type PullProgress, pullModel, pullWith } from '../src/hub/pull.node.ts';
import { resolveModel } from '../src/hub/resolve.node.ts';
import { buildProgram, ROOT, ropewalk, start } from './helpers/cli.node.ts';
import {
  blobName,
  COMMIT,
  cutAfter,
  type FakeHub,
  type FakeModel,
  sha256,
  startHub,
} from './helpers/hub.node.ts';
import { until } from './helpers/work.node.ts';
import { openWorkshop } from './helpers/workshop.node.ts';

/** The hub is a server of ours with faults; no test asks any other. */

const ID = 'acme/rope';
/** Patient with a busy machine; the tests of servers that hang are not. */
const QUICK = { idleMs: 20_000, backoffMs: 5, longestWaitMs: 400 };
const reference = (name: string) => join(ROOT, 'test/reference/llama', name);
const weights = randomBytes(3_000_000);
const small = {
  'config.json': readFileSync(reference('config.json')),
  'generation_config.json': readFileSync(reference('generation_config.json')),
  'tokenizer.json': Buffer.from('{"a": 1}'),
};
const model: FakeModel = {
  commit: COMMIT,
  revisions: ['v1', 'refs/pr/7'],
  files: {
    ...small,
    'README.md': Buffer.from('read me'),
    'pytorch_model.bin': randomBytes(1000),
    'model.safetensors': weights,
  },
};
const needed = [...Object.keys(small), 'model.safetensors'].sort();

const root = mkdtempSync(join(tmpdir(), 'ropewalk-pull-'));
let hub: FakeHub;
let cache: string;
let count = 0;

beforeAll(() => {
  // What the user of this machine has set must not decide tests.
  for (const name of Object.keys(process.env))
    if (/^(?:HF|HUGGING|TRANSFORMERS)_|_PROXY$/i.test(name)) delete process.env[name];
  process.env.HF_HOME = join(root, 'home');
});
beforeEach(async () => {
  cache = join(root, `cache${count++}`);
  hub = await startHub({ [ID]: model });
});
afterEach(() => hub.close());
afterAll(() => rmSync(root, { recursive: true }));

/** Bytes of the weights that the latest pull has read. */
let received = 0;
const pull = (options: PullOptions = {}, id = ID, timing = QUICK) => {
  received = 0;
  const onProgress = (progress: PullProgress) => {
    if (progress.file === 'model.safetensors') received = progress.fileDone;
    options.onProgress?.(progress);
  };
  return pullWith({ id }, { cache, endpoint: hub.endpoint, ...options, onProgress }, timing);
};
const repo = (...path: string[]) => join(cache, 'models--acme--rope', ...path);
const snapshot = () => repo('snapshots', COMMIT);
const blobs = () => readdirSync(repo('blobs')).sort();
const partials = () =>
  existsSync(repo('blobs')) ? blobs().filter((name) => name.endsWith('.incomplete')) : [];

const read = (bytes: number) => received >= bytes;

/** The one line of the RopewalkError that a promise is rejected with. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    (value) => new Error(`it was accepted: ${value}`),
    (reason: unknown) => reason,
  );
  expect(error, String(error)).toBeInstanceOf(RopewalkError);
  const { message } = error as RopewalkError;
  expect(message).not.toContain('\n');
  return message;
}

/** Whether a request is one for the weights. */
const forWeights = ({ url }: IncomingMessage) => url!.includes('model.safetensors');
const reply = (response: ServerResponse, status: number, headers: Record<string, string> = {}) => {
  response.writeHead(status, headers).end();
  return true;
};

function expectWhole(): void {
  expectFiles();
  expect(locks()).toEqual([]);
}

const locks = () => readdirSync(join(cache, '.locks', 'models--acme--rope'));

function expectFiles(): void {
  expect(readdirSync(snapshot()).sort()).toEqual(needed);
  // Whole buffers are compared at once: toEqual takes seconds for megabytes.
  for (const name of needed) {
    expect(readFileSync(join(snapshot(), name)).equals(model.files[name]!), name).toBe(true);
  }
  expect(partials()).toEqual([]);
}

describe('pulling a model from the hub', () => {
  it("fills the cache in the layout of Python's library with what the model needs", async () => {
    expect(await pull()).toBe(snapshot());
    expectWhole();
    expect(readFileSync(repo('refs', 'main'), 'utf8')).toBe(COMMIT);
    for (const name of needed) {
      expect(lstatSync(join(snapshot(), name)).isSymbolicLink()).toBe(true);
      expect(readlinkSync(join(snapshot(), name))).toBe(
        join('..', '..', 'blobs', blobName(name, model.files[name]!)),
      );
    }
    expect(blobs()).toEqual(needed.map((name) => blobName(name, model.files[name]!)).sort());
    expect(hub.sent()).toBe(needed.reduce((sum, name) => sum + model.files[name]!.length, 0));
  });

  it('makes no request once everything is cached, even when the server is gone', async () => {
    await pull();
    const asked = hub.requests.length;
    await pull();
    expect(hub.requests.length).toBe(asked);
    await hub.close();
    expect(await pull()).toBe(snapshot());
    expect(await pull({ offline: true })).toBe(snapshot());
    expect(await refusal(pull({ update: true }))).toMatch(/cannot reach 127\.0\.0\.1.*ECONNREFUSED/);
  });

  it('checks for updates on request, and fetches only what has changed', async () => {
    await pull();
    const before = hub.sent();
    const config = Buffer.from(`${small['config.json'].toString()}\n`);
    const commit = 'f'.repeat(40);
    hub.models.set(ID, { commit, files: { ...model.files, 'config.json': config } });
    expect(await pull()).toBe(snapshot());
    expect(await pull({ update: true })).toBe(repo('snapshots', commit));
    expect(hub.sent() - before).toBe(config.length);
    expect(readFileSync(repo('refs', 'main'), 'utf8')).toBe(commit);
    expect(await pull({ revision: COMMIT })).toBe(snapshot());
  });

  it('accepts tags, pull requests and commits as revisions', async () => {
    expect(await pull({ revision: 'v1' })).toBe(snapshot());
    expect(await pull({ revision: 'refs/pr/7' })).toBe(snapshot());
    expect(await pull({ revision: COMMIT })).toBe(snapshot());
    expect(readFileSync(repo('refs', 'refs', 'pr', '7'), 'utf8')).toBe(COMMIT);
    expect(readdirSync(repo('refs')).sort()).toEqual(['refs', 'v1']);
    expect(hub.requests.some(({ url }) => url.includes('/revision/refs%2Fpr%2F7'))).toBe(true);
    expect(await refusal(pull({ revision: '../../etc' }))).toContain('not the name of a revision');
  });

  it('reports progress in bytes that only grow, up to their sum', async () => {
    const told: PullProgress[] = [];
    await pull({ onProgress: (progress) => told.push(progress) });
    const total = needed.reduce((sum, name) => sum + model.files[name]!.length, 0);
    expect(told.every((progress) => progress.total === total)).toBe(true);
    expect(told.every(({ done }, i) => i === 0 || done >= told[i - 1]!.done)).toBe(true);
    expect(told.at(-1)!.done).toBe(total);
    expect(told.find(({ file }) => file === 'model.safetensors')!.fileTotal).toBe(weights.length);
  });

  it('fetches sharded weights, the index last, at most four files at a time', async () => {
    const folder = join(ROOT, 'src/checkpoint/fixtures/sharded-llama');
    const files = Object.fromEntries(
      readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]),
    );
    hub.models.set(ID, { commit: COMMIT, files: { ...files, 'model-00001-of-00002.bin': weights } });
    let running = 0;
    let most = 0;
    hub.fault = async (request, response) => {
      if (!request.url!.includes('/resolve/')) return false;
      most = Math.max(most, ++running);
      response.on('close', () => running--);
      if (request.url!.endsWith('index.json'))
        expect(existsSync(join(snapshot(), 'config.json'))).toBe(false);
      // The first of them is not answered before there is a second: they do come side by side.
      if (most === 1 && !request.url!.endsWith('index.json')) await until(() => most > 1, 'a second file');
      await new Promise((resolve) => setTimeout(resolve, 30));
      return false;
    };
    const path = await pull();
    expect(most).toBeLessThanOrEqual(4);
    expect(most).toBeGreaterThan(1);
    expect(readdirSync(path).sort()).toEqual(
      readdirSync(folder)
        .filter((name) => name !== 'sums.json')
        .sort(),
    );
    const opened = await openModel(path);
    await opened.checkpoint.tensors.close();
    expect(await pull({ offline: true })).toBe(path);
  });

  it('skips the weights on request, and fetches them later', async () => {
    await pull({ weights: false });
    expect(readdirSync(snapshot()).sort()).toEqual(Object.keys(small).sort());
    expect(await pull({ weights: false, offline: true })).toBe(snapshot());
    expect(await refusal(pull({ offline: true }))).toContain('missing model.safetensors');
    await pull();
    expectWhole();
  });

  it('makes hard links when the user wants no symbolic ones', async () => {
    process.env.HF_HUB_DISABLE_SYMLINKS = '1';
    try {
      await pull();
    } finally {
      delete process.env.HF_HUB_DISABLE_SYMLINKS;
    }
    expect(lstatSync(join(snapshot(), 'config.json')).isSymbolicLink()).toBe(false);
    expectWhole();
  });
});

describe('pulling GGUF from the hub', () => {
  const q4 = randomBytes(5000);
  const q8 = randomBytes(7000);

  it('fetches one file, chosen by name when there are several', async () => {
    hub.models.set(ID, {
      commit: COMMIT,
      files: { 'README.md': q4, 'a-Q4_0.gguf': q4, 'sub/a-Q8_0.gguf': q8, 'mmproj-a.gguf': q8 },
    });
    expect(await refusal(pull())).toContain(
      'choose one with acme/rope:FILE or acme/rope:Q4_K_M: a-Q4_0.gguf (5 kB), sub/a-Q8_0.gguf (7 kB)',
    );
    expect(await refusal(pull({ file: 'b.gguf' }))).toContain(
      'no file "b.gguf"; it has a-Q4_0.gguf (5 kB), sub/a-Q8_0.gguf (7 kB)',
    );
    expect(await refusal(pull({ file: 'README.md' }))).toContain('not a GGUF file');
    expect(await refusal(pull({ file: '../a.gguf' }))).toContain('not the name of a file');
    const path = await pullModel(`${ID}:sub/a-Q8_0.gguf`, { cache, endpoint: hub.endpoint });
    expect(path).toBe(join(snapshot(), 'sub', 'a-Q8_0.gguf'));
    expect(readFileSync(path)).toEqual(q8);
    expect(readlinkSync(path)).toBe(join('..', '..', '..', 'blobs', sha256(q8)));
    const asked = hub.requests.length;
    expect(await pull({ file: 'sub/a-Q8_0.gguf' })).toBe(path);
    expect(hub.requests.length).toBe(asked);
  });

  it('needs no name when there is only one file', async () => {
    hub.models.set(ID, { commit: COMMIT, files: { 'a.gguf': q4 } });
    expect(await pull()).toBe(join(snapshot(), 'a.gguf'));
    expect(await pull({ offline: true })).toBe(join(snapshot(), 'a.gguf'));
  });

  it('fetches all parts of a split model, whichever is named', async () => {
    const part = (i: number) => `sub/a-0000${i}-of-00003.gguf`;
    const files = Object.fromEntries([1, 2, 3].map((i) => [part(i), randomBytes(1000 * i)]));
    hub.models.set(ID, { commit: COMMIT, files: { ...files, 'b.gguf': q4 } });
    expect(await refusal(pull())).toContain(
      `choose one with acme/rope:FILE or acme/rope:Q4_K_M: ${part(1)} (6 kB), b.gguf (5 kB)`,
    );
    const first = join(snapshot(), part(1));
    expect(await pull({ file: part(2) })).toBe(first);
    for (const [name, bytes] of Object.entries(files)) {
      expect(readFileSync(join(snapshot(), name))).toEqual(bytes);
    }
    const asked = hub.requests.length;
    expect(await pull({ file: part(1) })).toBe(first);
    expect(hub.requests.length).toBe(asked);
    // Without the list of files, and without a part.
    rmSync(repo('.ropewalk'), { recursive: true });
    expect(await pull({ file: part(3), offline: true })).toBe(first);
    rmSync(join(snapshot(), part(3)));
    expect(await refusal(pull({ file: part(1), offline: true }))).toContain(`missing ${part(3)}`);
    expect(await pull({ file: part(1) })).toBe(first);
    hub.models.set(ID, { commit: COMMIT, files: { [part(1)]: q4, [part(2)]: q8 } });
    expect(await refusal(pull({ file: part(1), update: true }))).toContain(`${part(3)} is missing`);
  });
});

describe("a model in the cache of Python's library", () => {
  const python = (names: readonly string[]) => {
    mkdirSync(repo('blobs'), { recursive: true });
    mkdirSync(snapshot(), { recursive: true });
    mkdirSync(repo('refs'));
    writeFileSync(repo('refs', 'main'), COMMIT);
    for (const name of names) {
      const blob = blobName(name, model.files[name]!);
      writeFileSync(repo('blobs', blob), model.files[name]!);
      symlinkSync(`../../blobs/${blob}`, join(snapshot(), name));
    }
  };
  /** The list of all files that newer versions keep. */
  const writeTree = () => {
    mkdirSync(repo('trees'));
    const files = Object.entries(model.files).map(([name, { length }]) => {
      const hash = blobName(name, model.files[name]!);
      const large = hash.length === 64 && { lfs_sha256: hash, lfs_size: length };
      return [name, { size: length, blob_id: 'a'.repeat(40), ...large, ...(!large && { blob_id: hash }) }];
    });
    writeFileSync(
      repo('trees', `${COMMIT}.json`),
      JSON.stringify({ format_version: 1, files: Object.fromEntries(files) }),
    );
  };

  it('is used without the network, by its list of files or by the files it has', async () => {
    python(needed);
    expect(await pull()).toBe(snapshot());
    writeTree();
    expect(await pull()).toBe(snapshot());
    expect(hub.requests).toEqual([]);
  });

  it('is completed, reusing the files it has', async () => {
    python(needed.filter((name) => name !== 'generation_config.json'));
    writeTree();
    expect(await pull({ offline: true })).toBe(snapshot()); // it was wanted so, perhaps
    expect(await pull()).toBe(snapshot());
    expectWhole();
    expect(hub.sent()).toBe(small['generation_config.json'].length);
  });

  it('is checked online after a broken download, and used as it is when nobody answers', async () => {
    python(needed);
    const left = repo('blobs', `${'a'.repeat(64)}.incomplete`);
    writeFileSync(left, 'x');
    await pull();
    expect(hub.requests.length).toBe(1);
    rmSync(repo('.ropewalk'), { recursive: true });
    hub.fault = () => true;
    expect(await pull({}, ID, { ...QUICK, idleMs: 1000 })).toBe(snapshot());
  });

  it('is not complete without its weights', async () => {
    python(Object.keys(small));
    expect(await refusal(pull({ offline: true }))).toContain('missing model.safetensors');
    await pull();
    expectWhole();
  });

  it('is opened when large blobs are in a store shared by all models', async () => {
    const files = ['config.json', 'model.safetensors'].map(
      (name) => [name, readFileSync(reference(name))] as const,
    );
    mkdirSync(repo('blobs'), { recursive: true });
    mkdirSync(snapshot(), { recursive: true });
    mkdirSync(join(cache, 'blobs', 'ab'), { recursive: true });
    for (const [i, [name, data]] of files.entries()) {
      writeFileSync(join(cache, 'blobs', 'ab', `ab${i}`), data);
      symlinkSync(`../../blobs/ab/ab${i}`, repo('blobs', `blob${i}`));
      symlinkSync(`../../blobs/blob${i}`, join(snapshot(), name));
    }
    const opened = await openModel(await pull({ offline: true, revision: COMMIT }));
    expect(opened.names.size).toBeGreaterThan(0);
    // Not so a link to anywhere else.
    rmSync(join(snapshot(), 'config.json'));
    writeFileSync(join(cache, 'config.json'), files[0]![1]);
    symlinkSync('../../../config.json', join(snapshot(), 'config.json'));
    expect(await refusal(openModel(snapshot()))).toContain('a symbolic link that leaves its folder');
  });
});

describe('the hub client on a faulty network', () => {
  it('resumes a download where the connection was cut, fetching nothing twice', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 900_000 }), { minLength: 1, maxLength: 5 }),
        async (cuts) => {
          cache = join(root, `cache${count++}`);
          let through = 0;
          const rest = [...cuts];
          hub.storageFault = (request, response) => {
            const bytes = rest.shift();
            if (bytes === undefined) {
              through += cutAfter(request, response, weights, Number.POSITIVE_INFINITY, read);
              return true;
            }
            through += cutAfter(request, response, weights, bytes, read);
            return true;
          };
          await pull();
          expectWhole();
          expect(through).toBe(weights.length);
        },
      ),
      { numRuns: 8 },
    );
  });

  it('gives up after several attempts, keeps what arrived, and resumes it next time', async () => {
    hub.storageFault = (request, response) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
      cutAfter(request, response, weights, from > 0 ? 0 : 1_000_000, read);
      return true;
    };
    expect(await refusal(pull())).toMatch(/interrupted|stopped at byte/);
    expect(hub.storageRequests.length).toBeLessThan(10);
    expect(existsSync(join(snapshot(), 'model.safetensors'))).toBe(false);
    expect(existsSync(repo('refs', 'main'))).toBe(false);
    expect(partials()).toHaveLength(1);
    // What was broken off is not complete, whatever of it is there.
    expect(await refusal(pull({ offline: true, revision: COMMIT }))).toContain('missing model.safetensors');
    hub.storageFault = undefined;
    await pull();
    expectWhole();
    expect(hub.storageRequests.at(-1)!.headers.range).toBe('bytes=1000000-');
  });

  it('starts over when the file changes midway, and reports a file that is not the listed one', async () => {
    let turn = 0;
    hub.storageFault = (request, response) => {
      turn++;
      if (turn === 1) cutAfter(request, response, randomBytes(weights.length), 500_000, read, 'old');
      else if (turn === 2) {
        expect(request.headers['if-range']).toBe('"old"');
        response.writeHead(200, { 'content-length': weights.length, etag: '"new"' }).end(weights);
      }
      return true;
    };
    await pull();
    expectWhole();
    expect(turn).toBe(2);
  });

  it('starts over when an old partial file turns out to be damaged', async () => {
    mkdirSync(repo('blobs'), { recursive: true });
    const left = repo('blobs', `${sha256(weights)}.ropewalk-00000000.incomplete`);
    writeFileSync(left, randomBytes(1_000_000));
    await pull();
    expectWhole();
    expect(hub.storageRequests.map(({ headers }) => headers.range)).toEqual(['bytes=1000000-', undefined]);
  });

  it('keeps nothing of a file with a wrong hash', async () => {
    const wrong = Buffer.from(weights);
    wrong[12345]! ^= 1;
    hub.storageFault = (_, response) => {
      response.writeHead(200, { 'content-length': wrong.length }).end(wrong);
      return true;
    };
    expect(await refusal(pull())).toMatch(/model\.safetensors.*does not have the hash/);
    expect(partials()).toEqual([]);
    expect(blobs()).not.toContain(sha256(weights));
    const config = Buffer.from('{"model_type": "evil"}'.padEnd(small['config.json'].length));
    hub.storageFault = undefined;
    hub.fault = (request, response) => {
      if (!request.url!.endsWith('/config.json')) return false;
      response.end(config);
      return true;
    };
    cache = join(root, `cache${count++}`);
    expect(await refusal(pull())).toMatch(/config\.json.*does not have the hash/);
  });

  it('refuses a file longer than listed, and one in another encoding', async () => {
    hub.storageFault = (_, response) => {
      response.end(Buffer.concat([weights, weights]));
      return true;
    };
    expect(await refusal(pull())).toContain('more than its 3000000 bytes');
    expect(partials()).toEqual([]);
    hub.storageFault = (_, response) => reply(response, 200, { 'content-encoding': 'br' });
    expect(await refusal(pull())).toContain('not requested');
  });

  it('waits as long as a busy server asks, within bounds', async () => {
    const answers = ['0.2', '1', new Date(Date.now() + 3_600_000).toUTCString(), '99999999999'];
    const times: number[] = [];
    hub.fault = (_, response) => {
      times.push(performance.now());
      const after = answers.shift();
      return after === undefined ? false : reply(response, 429, { 'retry-after': after });
    };
    await pull();
    expectWhole();
    const waits = times.slice(1, 5).map((time, i) => time - times[i]!);
    for (const wait of waits.slice(1)) {
      expect(wait).toBeGreaterThanOrEqual(390); // the tests' longest wait, 400
      expect(wait).toBeLessThan(60_000); // and by no means an hour
    }
  });

  it('retries after server errors, but not forever', async () => {
    let troubles = 3;
    hub.fault = (_, response) => troubles-- > 0 && reply(response, 503);
    await pull();
    expectWhole();
    cache = join(root, `cache${count++}`);
    hub.fault = (_, response) => reply(response, 500);
    const before = hub.requests.length;
    expect(await refusal(pull())).toContain('answered 500');
    expect(hub.requests.length - before).toBe(6);
  });

  it('gives up on a server that hangs before or during its answer', async () => {
    hub.fault = () => true;
    const hasty = { ...QUICK, idleMs: 1000 };
    expect(await refusal(pull({}, ID, hasty))).toMatch(/has not answered for 1 s/);
    hub.fault = undefined;
    let turns = 0;
    hub.storageFault = (_, response) => {
      if (turns++ > 0) return false;
      response.writeHead(200, { 'content-length': weights.length });
      response.write(weights.subarray(0, 1_000_000));
      return true;
    };
    await pull({}, ID, { ...QUICK, idleMs: 3000 });
    expectWhole();
    expect(hub.storageRequests.length).toBeGreaterThan(1);
    expect(hub.storageRequests.at(-1)!.headers.range).toBe('bytes=1000000-');
  });

  it('stops when aborted, and resumes from there', async () => {
    const controller = new AbortController();
    hub.storageFault = (_, response) => {
      response.writeHead(200, { 'content-length': weights.length });
      response.write(weights.subarray(0, 1_500_000));
      return true;
    };
    const onProgress = ({ fileDone }: PullProgress) => {
      if (fileDone >= 1_500_000) controller.abort(new Error('enough'));
    };
    await expect(pull({ signal: controller.signal, onProgress })).rejects.toThrow('enough');
    expect(readdirSync(join(cache, '.locks', 'models--acme--rope'))).toEqual([]);
    hub.storageFault = undefined;
    await pull();
    expectWhole();
    expect(hub.storageRequests.at(-1)!.headers.range).toBe('bytes=1500000-');
    await expect(pull({ signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
  });
});

describe('the hub client', () => {
  it('sends the token only to the hub', async () => {
    await pull({ token: 'hf_secret' });
    expect(hub.requests.length).toBeGreaterThan(3);
    for (const { headers } of hub.requests) expect(headers.authorization).toBe('Bearer hf_secret');
    expect(hub.storageRequests.length).toBe(1);
    for (const { headers } of hub.storageRequests) {
      expect(headers.authorization).toBeUndefined();
      expect(JSON.stringify(headers)).not.toContain('secret');
    }
  });

  it('does not send the token again when redirects lead back to the hub', async () => {
    hub.storageFault = (_, response) => reply(response, 307, { location: `${hub.endpoint}/back` });
    hub.fault = (request, response) => {
      if (request.url !== '/back') return false;
      response.end(weights);
      return true;
    };
    await pull({ token: 'hf_secret' });
    expect(hub.requests.find(({ url }) => url === '/back')!.headers.authorization).toBeUndefined();
  });

  it('takes the token from the environment or from its file, and never prints it', async () => {
    const seen = () => hub.requests.at(-1)!.headers.authorization;
    const home = process.env.HF_HOME!;
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'token'), 'hf_file\n');
    writeFileSync(join(root, 'other-token'), 'hf_other\n');
    try {
      await pull();
      expect(seen()).toBe('Bearer hf_file');
      process.env.HF_TOKEN_PATH = join(root, 'other-token');
      await pull({ update: true });
      expect(seen()).toBe('Bearer hf_other');
      process.env.HF_TOKEN = 'hf_env';
      await pull({ update: true });
      expect(seen()).toBe('Bearer hf_env');
      process.env.HF_TOKEN = 'hf_se\ncret';
      const message = await refusal(pull({ update: true }));
      expect(message).toContain('the token has invalid characters');
      expect(message).not.toContain('cret');
      process.env.HF_TOKEN = 'hf_env';
      expect(await refusal(pull({ endpoint: 'http://hub.example' }))).toContain('without encryption');
    } finally {
      delete process.env.HF_TOKEN;
      delete process.env.HF_TOKEN_PATH;
      rmSync(join(home, 'token'));
    }
  });

  it('says where to accept the license of a gated model and how to give a token', async () => {
    hub.fault = (request, response) =>
      request.url!.includes('/resolve/') && reply(response, 401, { 'x-error-code': 'GatedRepo' });
    const message = await refusal(pull());
    expect(message).toContain(`accept its license on ${hub.endpoint}/acme/rope`);
    expect(message).toContain('HF_TOKEN');
    hub.fault = (_, response) => reply(response, 403);
    expect(await refusal(pull({ token: 'hf_x' }))).toMatch(/gated \(403\).*the token in use/);
    hub.fault = (_, response) => reply(response, 401);
    expect(await refusal(pull())).toMatch(/does not exist, is private or is gated.*set HF_TOKEN/);
    expect(existsSync(repo('refs', 'main'))).toBe(false);
  });

  it('names an id or a revision that does not exist', async () => {
    expect(await refusal(pull({}, 'acme/other'))).toMatch(/"acme\/other".*"main".*404/);
    expect(await refusal(pull({ revision: 'v9' }))).toMatch(/no revision "v9" of "acme\/rope"/);
  });

  it('refuses file names that lead out of the folder', async () => {
    const names = [
      '../x',
      '/etc/passwd',
      'a/../../x',
      'a\\b',
      'C:x',
      'a\0b',
      'a//b',
      '.',
      'x/',
      'a:b',
      '..',
      'x. ',
    ];
    for (const name of names) {
      hub.models.set(ID, { commit: COMMIT, files: { ...model.files, [name]: small['config.json'] } });
      expect(await refusal(pull()), name).toContain('would escape its folder');
    }
    for (const shard of [
      '../../../evil.safetensors',
      '/evil.safetensors',
      'a\\b.safetensors',
      'model.bin',
      3,
    ]) {
      const index = Buffer.from(JSON.stringify({ weight_map: { a: shard } }));
      hub.models.set(ID, { commit: COMMIT, files: { ...small, 'model.safetensors.index.json': index } });
      cache = join(root, `cache${count++}`);
      expect(await refusal(pull()), String(shard)).toContain('not a safetensors file in the same folder');
    }
    expect(readdirSync(root).filter((name) => name.includes('evil'))).toEqual([]);
  });

  it('refuses malformed hashes and commits', async () => {
    for (const commit of ['main', '../../x', COMMIT.slice(1), `${COMMIT}0`, COMMIT.toUpperCase()]) {
      hub.models.set(ID, { commit, files: model.files });
      expect(await refusal(pull()), commit).toContain('not 40 hexadecimal digits');
    }
    for (const hash of ['../../x', 'abc', null, `${'0'.repeat(63)}/`]) {
      hub.fault = (_, response) => {
        const lfs = { sha256: hash, size: 1, pointerSize: 1 };
        response.end(JSON.stringify({ sha: COMMIT, siblings: [{ rfilename: 'model.safetensors', lfs }] }));
        return true;
      };
      expect(await refusal(pull()), String(hash)).toContain('the invalid hash');
    }
    hub.fault = (_, response) => {
      response.end('<html>log in</html>');
      return true;
    };
    expect(await refusal(pull())).toContain('no JSON');
    hub.models.set(ID, { commit: 'f'.repeat(40), revisions: [COMMIT], files: model.files });
    hub.fault = undefined;
    expect(await refusal(pull({ revision: COMMIT }))).toContain('refused');
  });

  it('refuses a file of another commit than it listed', async () => {
    hub.fault = (request, response) =>
      forWeights(request) &&
      reply(response, 302, { location: `${hub.storage}/x`, 'x-repo-commit': 'f'.repeat(40) });
    expect(await refusal(pull())).toContain('another version');
  });

  it('does not follow redirects forever', async () => {
    hub.fault = (request, response) =>
      forWeights(request) && reply(response, 302, { location: request.url! });
    expect(await refusal(pull())).toContain('redirects more than 10 times');
    hub.fault = (request, response) =>
      forWeights(request) && reply(response, 302, { location: 'file:///etc/passwd' });
    expect(await refusal(pull())).toContain('to file:');
  });

  it('does not fetch pickles', async () => {
    hub.models.set(ID, { commit: COMMIT, files: { ...small, 'pytorch_model.bin': weights } });
    expect(await refusal(pull())).toContain('pytorch_model.bin, a Python pickle');
    expect(hub.storageRequests).toEqual([]);
  });
});

describe('several processes that pull the same model', () => {
  const environment = () => ({
    ...process.env,
    HF_HUB_CACHE: cache,
    HF_ENDPOINT: hub.endpoint,
    HF_HUB_DOWNLOAD_TIMEOUT: '60',
  });
  const cli = async (...args: string[]) =>
    start(await buildProgram('bin/ropewalk.js'), args, { env: environment() });

  it('download each file once between them', async () => {
    hub.storageFault = async () => {
      await new Promise((resolve) => setTimeout(resolve, 800));
      return false;
    };
    const both = await Promise.all([cli('pull', ID), cli('pull', ID), cli('pull', ID, '--json')]);
    const ends = await Promise.all(both.map(({ finished }) => finished));
    for (const { code, stderr } of ends) expect(code, stderr).toBe(0);
    expect(ends[0]!.stdout).toBe(`${snapshot()}\n`);
    expect(JSON.parse(ends[2]!.stdout)).toEqual({ id: ID, path: snapshot() });
    expectWhole();
    expect(hub.storageRequests.length).toBe(1);
  });

  it('take over what a killed process left', async () => {
    let turns = 0;
    hub.storageFault = (_, response) => {
      if (turns++ > 0) return false;
      response.writeHead(200, { 'content-length': weights.length });
      response.write(weights.subarray(0, 2_500_000));
      return true;
    };
    const first = await cli('pull', ID);
    // A partial file of the small files may be renamed between the listing and the look.
    const size = (name: string) => lstatSync(repo('blobs', name), { throwIfNoEntry: false })?.size ?? 0;
    const written = () => partials().some((name) => size(name) >= 2 ** 21);
    await until(written, 'two pieces are written');
    first.process.kill('SIGKILL');
    await first.finished;
    // On a busy machine small files may be under way beside it, each with a lock of its own.
    const ofWeights = () => locks().filter((name) => name.includes(sha256(weights)));
    expect(ofWeights()).toHaveLength(1);
    expect(existsSync(repo('refs', 'main'))).toBe(false);
    const { code, stderr } = await (await cli('pull', ID)).finished;
    expect(code, stderr).toBe(0);
    expectFiles();
    // A small file that was complete when the process died keeps its lock, which holds nobody up.
    expect(ofWeights()).toEqual([]);
    expect(hub.storageRequests.at(-1)!.headers.range).toBe(`bytes=${2 ** 21}-`);
  });

  it('release a file that another took over, and resume it when they may', async () => {
    let turns = 0;
    hub.storageFault = async (_, response) => {
      if (turns++ > 0) return false;
      response.writeHead(200, { 'content-length': weights.length });
      response.write(weights.subarray(0, 1_500_000));
      const mine = () => partials().find((name) => name.startsWith(sha256(weights)));
      await until(() => mine() !== undefined, 'a piece is written');
      // What a process does that takes this one, stopped for long, for dead.
      const other = `${sha256(weights)}.ropewalk-ffffffff.incomplete`;
      renameSync(repo('blobs', mine()!), repo('blobs', other));
      response.end(weights.subarray(1_500_000));
      return true;
    };
    await pull();
    expectWhole();
    expect(hub.storageRequests.at(-1)!.headers.range).toBe(`bytes=${2 ** 20}-`);
  });

  it('print errors in one line, and stop at Ctrl-C', async () => {
    const { code, stderr, stdout } = await (await cli('pull', 'acme/none')).finished;
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    hub.storageFault = () => true;
    const hanging = await cli('pull', ID);
    await until(() => hub.storageRequests.length > 0, 'the weights are asked for');
    hanging.process.kill('SIGINT');
    expect((await hanging.finished).code).toBe(130);
  });
});

describe('a model id given to commands and to the library', () => {
  const llama: FakeModel = {
    commit: COMMIT,
    files: Object.fromEntries(
      ['config.json', 'generation_config.json', 'model.safetensors'].map((name) => [
        name,
        readFileSync(reference(name)),
      ]),
    ),
  };
  const run = (...args: string[]) =>
    ropewalk(args, { env: { ...process.env, HF_HUB_CACHE: cache, HF_ENDPOINT: hub.endpoint } });

  it('generates as from the directory, then offline', async () => {
    hub.models.set('acme/llama', llama);
    const rest = ['--ids', '1,5,9', '--max-tokens', '5', '--greedy', '--json'];
    const fromFolder = await run('generate', join(ROOT, 'test/reference/llama'), ...rest);
    const fromHub = await run('generate', 'acme/llama', ...rest);
    expect(fromHub.code, fromHub.stderr).toBe(0);
    expect(JSON.parse(fromHub.stdout).ids).toEqual(JSON.parse(fromFolder.stdout).ids);
    await hub.close();
    const again = await run('score', 'acme/llama@main', '--ids', '1,5,9', '--json');
    expect(again.code, again.stderr).toBe(0);
  });

  it('is inspected and compared without downloading weights', async () => {
    hub.models.set('acme/llama', llama);
    const inspected = await run('inspect', 'acme/llama', '--json');
    expect(inspected.code, inspected.stderr).toBe(0);
    expect(JSON.parse(inspected.stdout).family).toBe('llama');
    expect(hub.storageRequests).toEqual([]);
    const compared = await run('compare', 'acme/llama', 'gemma/tiny', '--json');
    expect(compared.code, compared.stderr).toBe(0);
    expect(Object.keys(JSON.parse(compared.stdout).rows[0].values)).toContain('acme/llama');
  });

  it('gives way to an existing file or folder, and errors say what was tried', async () => {
    const folder = join(root, 'here');
    cpSync(join(ROOT, 'test/reference/llama'), folder, { recursive: true });
    expect(await resolveModel(folder)).toBe(folder);
    expect(await resolveModel(join(folder, 'config.json'))).toBe(join(folder, 'config.json'));
    expect(await refusal(resolveModel(join(root, 'nowhere')))).toMatch(/no such file or folder.*looks like/);
    const options = { cache, endpoint: hub.endpoint };
    expect(await refusal(resolveModel('runs/llama', options))).toMatch(
      /"runs\/llama": no such file or folder here; as a model on the hub: .*404/,
    );
    expect(await resolveModel(`${ID}@v1`, options)).toBe(snapshot());
    expect(await refusal(resolveModel(`${ID}@v1`, { ...options, revision: 'v2' }))).toContain(
      'use only one of them',
    );
  });
});

it('the hub client reports a full disk, and resumes when there is space', async (test) => {
  const workshop = await openWorkshop();
  try {
    const disk = workshop.mount('4m');
    if (!disk) return test.skip('this process may not mount a small disk');
    cache = join(disk.path, 'cache');
    hub.models.set('acme/large', {
      commit: COMMIT,
      files: { ...small, 'model.safetensors': randomBytes(6_000_000) },
    });
    expect(await refusal(pull({}, 'acme/large'))).toMatch(/the disk is full: the download needs 6\.0 MB/);
    // Somebody else fills it in the middle.
    const filler = join(disk.path, 'filler');
    hub.storageFault = () => {
      writeFileSync(filler, Buffer.alloc(2_500_000));
      return false;
    };
    expect(await refusal(pull())).toMatch(/model\.safetensors.*the disk is full \(ENOSPC\)/);
    expect(existsSync(join(snapshot(), 'model.safetensors'))).toBe(false);
    expect(existsSync(repo('refs', 'main'))).toBe(false);
    rmSync(filler);
    hub.storageFault = undefined;
    await pull();
    expectWhole();
    expect(Number(/\d+/.exec(hub.storageRequests.at(-1)!.headers.range ?? '0')![0])).toBeGreaterThan(0);
  } finally {
    workshop.remove();
  }
});
