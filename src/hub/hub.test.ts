import { homedir } from 'node:os';
import { join, posix, win32 } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseFiles, hasQuantization } from './choose.ts';
import { parseTree, treeText } from './listing.ts';
import { isSafePath, parseModelId } from './model-id.ts';
import { proxyRoute } from './proxy.node.ts';
import { redirected } from './request.ts';
import { retryAfter } from './retry.ts';
import { hubSettings } from './settings.node.ts';

describe('model ids of the hub', () => {
  it('are parsed', () => {
    expect(parseModelId('google/gemma-2-2b-it')).toEqual({ id: 'google/gemma-2-2b-it' });
    expect(parseModelId('a/b@refs/pr/1')).toEqual({ id: 'a/b', revision: 'refs/pr/1' });
    expect(parseModelId('a/b@v1.0:x/y-Q4_0.gguf')).toEqual({
      id: 'a/b',
      revision: 'v1.0',
      file: 'x/y-Q4_0.gguf',
    });
    expect(parseModelId('gpt2')).toEqual({ id: 'gpt2' });
    expect(parseModelId('distilgpt2@v1')).toEqual({ id: 'distilgpt2', revision: 'v1' });
    expect(parseModelId('a/b:Q4_K_M')).toEqual({ id: 'a/b', file: 'Q4_K_M' });
    for (const text of [
      'model.gguf',
      'train.jsonl',
      '.',
      '..',
      'C:',
      'C:x.gguf',
      './a/b',
      '../a',
      '/a/b',
      'a/b/c',
      'a\\b',
      'a/..',
      '-a/b',
      'a/b-',
      'a--b/c',
      'a/b.git',
      'a/',
      'C:/b',
      '',
      'a/b c',
      '한/글',
    ]) {
      expect(parseModelId(text), text).toBeUndefined();
    }
  });

  it('are parsed from web addresses of the hub', () => {
    const read = (text: string) => parseModelId(text, 'models', 'https://mirror.example/hub');
    for (const text of [
      'https://huggingface.co/org/name',
      'http://www.huggingface.co/org/name/',
      'huggingface.co/org/name?library=transformers',
      'https://hf.co/org/name#usage',
      'hf.co/org/name',
      'HTTPS://HuggingFace.co/org/name',
      'https://mirror.example/hub/org/name',
    ]) {
      expect(read(text), text).toEqual({ id: 'org/name' });
    }
    const revision = (name: string) => ({ id: 'org/name', revision: name });
    expect(read('https://huggingface.co/org/name/tree/main')).toEqual(revision('main'));
    expect(read('https://huggingface.co/org/name/tree/refs%2Fpr%2F7')).toEqual(revision('refs/pr/7'));
    expect(read('https://huggingface.co/org/name/tree/refs/pr/7')).toEqual(revision('refs/pr/7'));
    expect(read('https://huggingface.co/org/name/commit/abc')).toEqual(revision('abc'));
    for (const page of ['blob', 'resolve', 'raw']) {
      expect(read(`https://huggingface.co/org/name/${page}/main/sub/a%20b.gguf?download=true`)).toEqual({
        ...revision('main'),
        file: 'sub/a b.gguf',
      });
    }
    expect(read('https://huggingface.co/gpt2')).toEqual({ id: 'gpt2' });
    expect(read('https://huggingface.co/gpt2/blob/main/config.json')).toEqual({
      id: 'gpt2',
      revision: 'main',
      file: 'config.json',
    });
    expect(read('hf.co/org/name:Q4_K_M')).toEqual({ id: 'org/name', file: 'Q4_K_M' });
    expect(parseModelId('https://huggingface.co/datasets/org/name/blob/main/a.jsonl', 'datasets')).toEqual({
      ...revision('main'),
      file: 'a.jsonl',
    });
    expect(parseModelId('https://huggingface.co/datasets/squad', 'datasets')).toEqual({ id: 'squad' });
  });

  it('are refused by name when an address names no model', () => {
    const refusals: [string, RegExp][] = [
      ['https://huggingface.co', /not the address of a model/],
      ['https://huggingface.co/datasets/org/name', /the address of a dataset, not of a model/],
      ['https://huggingface.co/spaces/org/name', /the address of a space/],
      ['https://huggingface.co/org/name/discussions/3', /not the page of a model/],
      ['https://huggingface.co/org/name/tree', /not the page of a model/],
      ['https://huggingface.co/org/name/constructor/main', /not the page of a model/],
      ['https://huggingface.co/org/name/tree/main/sub', /the page of a folder/],
      ['https://huggingface.co/org/..', /not the address of a model/],
      ['https://huggingface.co/%', /not a valid address/],
      ['https://huggingface.co.evil.example/org/name', /not an address of https:\/\/huggingface\.co/],
      ['https://example.com/model.gguf', /download it and give its path/],
    ];
    for (const [text, pattern] of refusals) expect(() => parseModelId(text), text).toThrow(pattern);
    expect(() => parseModelId('https://huggingface.co/org/name', 'datasets')).toThrow('of a dataset');
  });

  it('stay within the folder on every system when their paths are accepted', () => {
    const part = fc.oneof(
      fc.constantFrom('..', '.', '', 'a', 'C:', '\\', 'a\\..\\b', '/', 'a\0', '...', 'x.gguf', 'NUL:'),
      fc.string({ maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (parts) => {
        const path = parts.join('/');
        fc.pre(isSafePath(path));
        for (const system of [posix, win32]) {
          const folder = system === win32 ? 'C:\\cache\\snapshot' : '/cache/snapshot';
          expect(system.resolve(folder, path).startsWith(folder + system.sep)).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
    expect(isSafePath('sub/model-Q4_K_M.gguf')).toBe(true);
  });
});

describe('redirects of the hub client', () => {
  const from = (url: string, location: string, endpoint = 'https://hub.example') =>
    redirected(new URL(url), location, endpoint).href;

  it('are followed to other hosts and relative addresses', () => {
    expect(from('https://hub.example/a/b', '../c')).toBe('https://hub.example/c');
    expect(from('https://hub.example/a', 'https://cdn.example/x?y')).toBe('https://cdn.example/x?y');
  });

  it('never drop encryption, unless the hub is on this machine and has none', () => {
    expect(() => from('https://hub.example/a', 'http://hub.example/a')).toThrow('without encryption');
    expect(() => from('https://cdn.example/a', 'http://127.0.0.1/a')).toThrow('without encryption');
    expect(() => from('https://x.example/a', 'http://127.0.0.1/a', 'http://hub.example')).toThrow(
      'without encryption',
    );
    expect(() =>
      from('https://x.example/a', 'http://127.0.0.1/a', 'http://127.0.0.1.evil.example'),
    ).toThrow();
    expect(from('https://x.example/a', 'http://127.0.0.1:1/a', 'http://localhost:2')).toBe(
      'http://127.0.0.1:1/a',
    );
    expect(from('http://hub.example/a', 'http://cdn.example/a', 'http://hub.example')).toBe(
      'http://cdn.example/a',
    );
  });

  it('lead only to http or https addresses, and carry no passwords', () => {
    for (const location of [
      'file:///etc/passwd',
      'data:text/plain,x',
      'ftp://x/',
      'https://u:p@x/',
      'https://',
    ]) {
      expect(() => from('https://hub.example/a', location), location).toThrow('refused');
    }
  });
});

it('Retry-After is read as seconds or as a date', () => {
  const now = Date.UTC(2026, 0, 1);
  expect(retryAfter('120', now)).toBe(120_000);
  expect(retryAfter('Thu, 01 Jan 2026 00:00:30 GMT', now)).toBe(30_000);
  expect(retryAfter('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0);
  expect(retryAfter('soon', now)).toBeUndefined();
  expect(retryAfter(null, now)).toBeUndefined();
});

describe('the settings of the hub client', () => {
  const nowhere = { HF_TOKEN_PATH: '/nonexistent/token' };
  const cache = (env: Record<string, string>) => hubSettings({}, { ...nowhere, ...env }).cache;

  it("place the cache where Python's library does", () => {
    expect(cache({})).toBe(join(homedir(), '.cache', 'huggingface', 'hub'));
    expect(cache({ XDG_CACHE_HOME: '/x' })).toBe(join('/x', 'huggingface', 'hub'));
    expect(cache({ XDG_CACHE_HOME: '/x', HF_HOME: '/h' })).toBe(join('/h', 'hub'));
    expect(cache({ HF_HOME: '~/h' })).toBe(join(homedir(), 'h', 'hub'));
    expect(cache({ HF_HOME: '/h', HF_HUB_CACHE: '$DISK/c', DISK: '/d' })).toBe('/d/c');
    expect(cache({ HF_HUB_CACHE: '' })).toBe(join(homedir(), '.cache', 'huggingface', 'hub'));
    expect(hubSettings({ cache: '/o' }, { ...nowhere, HF_HUB_CACHE: '/c' }).cache).toBe('/o');
  });

  it('contain the endpoint and whether to stay offline', () => {
    expect(hubSettings({}, nowhere).endpoint).toBe('https://huggingface.co');
    expect(hubSettings({}, { ...nowhere, HF_ENDPOINT: 'https://mirror.example/hub/' }).endpoint).toBe(
      'https://mirror.example/hub',
    );
    for (const bad of ['mirror.example', 'ftp://x', 'https://u:p@x', 'file:///x']) {
      expect(() => hubSettings({ endpoint: bad }, nowhere), bad).toThrow('not the address of a hub');
    }
    expect(hubSettings({}, { ...nowhere, HF_HUB_OFFLINE: 'Yes' }).offline).toBe(true);
    expect(hubSettings({}, { ...nowhere, HF_HUB_OFFLINE: '0' }).offline).toBe(false);
    expect(hubSettings({ offline: false }, { ...nowhere, HF_HUB_OFFLINE: '1' }).offline).toBe(false);
    expect(() => hubSettings({}, { ...nowhere, HF_HUB_DOWNLOAD_TIMEOUT: 'x' })).toThrow('give seconds');
  });
});

describe('the proxy of the hub client', () => {
  const of = (env: Record<string, string>, url: string) => proxyRoute(env)?.proxyOf(new URL(url));

  it('is chosen by the scheme of the address, from upper- or lowercase variables', () => {
    expect(proxyRoute({})).toBeUndefined();
    expect(proxyRoute({ HTTPS_PROXY: '', NO_PROXY: '*' })).toBeUndefined();
    const https = 'https://huggingface.co/x';
    expect(of({ HTTPS_PROXY: 'http://p:1' }, https)).toBe('the proxy p:1 (HTTPS_PROXY)');
    expect(of({ https_proxy: 'p:1', HTTPS_PROXY: 'q:2' }, https)).toBe('the proxy p:1 (HTTPS_PROXY)');
    expect(of({ HTTP_PROXY: 'http://p:1' }, https)).toBeUndefined();
    expect(of({ HTTP_PROXY: 'http://p:1' }, 'http://hub.example/')).toBe('the proxy p:1 (HTTP_PROXY)');
    expect(of({ ALL_PROXY: 'http://p:1', HTTP_PROXY: 'http://q:2' }, https)).toBe(
      'the proxy p:1 (ALL_PROXY)',
    );
    expect(
      of({ HTTPS_PROXY: 'http://p:1', HTTP_PROXY: 'http://p:1' }, 'http://127.0.0.1:9/'),
    ).toBeUndefined();
    expect(of({ HTTPS_PROXY: 'https://me:secret@p:1' }, https)).toBe('the proxy p:1 (HTTPS_PROXY)');
  });

  it('is refused without being printed when it is not an address', () => {
    for (const value of ['socks5://me:secret@p:1', 'http://', 'ftp://secret', 'http://me:secret@:1']) {
      const route = () => proxyRoute({ HTTPS_PROXY: value });
      expect(route, value).toThrow(/^HTTPS_PROXY contains (?!.*secret)/);
    }
  });
});

describe('the files of a hub repository', () => {
  it('are chosen so that the model has what it needs, and nothing else', () => {
    const base = [
      '.gitattributes',
      'README.md',
      'config.json',
      'tokenizer.json',
      'tokenizer.model',
      'chat_template.jinja',
      'additional_chat_templates/tool_use.jinja',
      'additional_chat_templates/notes.txt',
      'pytorch_model.bin',
      'onnx/model.onnx',
      'tf_model.h5',
      'training_args.bin',
      'model.fp16.safetensors',
    ];
    const templates = ['chat_template.jinja', 'additional_chat_templates/tool_use.jinja'];
    const common = ['config.json', 'tokenizer.json', 'tokenizer.model', ...templates].sort();
    const chosen = (paths: string[]) =>
      [
        ...chooseFiles(
          paths.map((path) => ({ path })),
          'a/b',
          {},
        ).files,
      ].sort();
    expect(chosen([...base, 'model.safetensors', 'x.gguf'])).toEqual([...common, 'model.safetensors'].sort());
    expect(chosen([...base, 'model.safetensors.index.json', 'model-00001-of-00001.safetensors'])).toEqual(
      [...common, 'model.safetensors.index.json'].sort(),
    );
    expect(chosen([...base, 'x.gguf'])).toEqual(['x.gguf']);
    expect(() => chosen(base)).toThrow('pickle');
    expect(() => chosen(['README.md'])).toThrow('neither');
    expect(() => chosen(['model.safetensors'])).toThrow('no config.json');
  });

  it('are told apart by quantization for GGUF, by the end of their names', () => {
    const has = (path: string) => hasQuantization(path, 'Q4_K_M');
    expect(has('model-Q4_K_M.gguf')).toBe(true);
    expect(has('sub/model.q4_k_m.gguf')).toBe(true);
    expect(has('model-Q4_K_M-00001-of-00002.gguf')).toBe(true);
    expect(has('Q4_K_M.gguf')).toBe(true);
    expect(has('model-IQ4_K_M.gguf')).toBe(false);
    expect(has('model-Q4_K_M-imat.gguf')).toBe(false);
    expect(has('Q4_K_M/model-Q8_0.gguf')).toBe(false);
  });

  it("are recorded as Python's library records them", () => {
    const files = new Map([
      ['config.json', { path: 'config.json', size: 3, hash: 'a'.repeat(40) }],
      ['model.safetensors', { path: 'model.safetensors', size: 4, hash: 'b'.repeat(64) }],
    ]);
    expect(parseTree(JSON.parse(treeText(files)))).toEqual(files);
    const python = {
      format_version: 1,
      files: {
        'config.json': { size: 3, blob_id: 'a'.repeat(40) },
        'model.safetensors': {
          size: 4,
          blob_id: 'c'.repeat(40),
          lfs_sha256: 'b'.repeat(64),
          lfs_size: 4,
          xet_hash: 'd',
        },
      },
    };
    expect(parseTree(python)).toEqual(files);
    expect(parseTree({ ...python, format_version: 2 })).toBeUndefined();
    expect(
      parseTree({ format_version: 1, files: { '../x': { size: 1, blob_id: 'a'.repeat(40) } } }),
    ).toBeUndefined();
  });
});
