import { homedir } from 'node:os';
import { join, posix, win32 } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseFiles } from './choose.ts';
import { parseTree, treeText } from './listing.ts';
import { isSafePath, parseModelId } from './model-id.ts';
import { redirected } from './request.ts';
import { retryAfter } from './retry.ts';
import { hubSettings } from './settings.node.ts';

describe('ids', () => {
  it('are read', () => {
    expect(parseModelId('google/gemma-2-2b-it')).toEqual({ id: 'google/gemma-2-2b-it' });
    expect(parseModelId('a/b@refs/pr/1')).toEqual({ id: 'a/b', revision: 'refs/pr/1' });
    expect(parseModelId('a/b@v1.0:x/y-Q4_0.gguf')).toEqual({
      id: 'a/b',
      revision: 'v1.0',
      file: 'x/y-Q4_0.gguf',
    });
    for (const text of [
      'gpt2',
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

  it('paths that are called safe stay in their folder, on every system', () => {
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

describe('redirects', () => {
  const from = (url: string, location: string, endpoint = 'https://hub.example') =>
    redirected(new URL(url), location, endpoint).href;

  it('are followed to other hosts and relative addresses', () => {
    expect(from('https://hub.example/a/b', '../c')).toBe('https://hub.example/c');
    expect(from('https://hub.example/a', 'https://cdn.example/x?y')).toBe('https://cdn.example/x?y');
  });

  it('never lose encryption, unless the hub is on this machine and has none', () => {
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

  it('lead to the web only, and carry no passwords', () => {
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

it('Retry-After is seconds or a date', () => {
  const now = Date.UTC(2026, 0, 1);
  expect(retryAfter('120', now)).toBe(120_000);
  expect(retryAfter('Thu, 01 Jan 2026 00:00:30 GMT', now)).toBe(30_000);
  expect(retryAfter('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0);
  expect(retryAfter('soon', now)).toBeUndefined();
  expect(retryAfter(null, now)).toBeUndefined();
});

describe('settings', () => {
  const nowhere = { HF_TOKEN_PATH: '/nonexistent/token' };
  const cache = (env: Record<string, string>) => hubSettings({}, { ...nowhere, ...env }).cache;

  it("find the cache as Python's library does", () => {
    expect(cache({})).toBe(join(homedir(), '.cache', 'huggingface', 'hub'));
    expect(cache({ XDG_CACHE_HOME: '/x' })).toBe(join('/x', 'huggingface', 'hub'));
    expect(cache({ XDG_CACHE_HOME: '/x', HF_HOME: '/h' })).toBe(join('/h', 'hub'));
    expect(cache({ HF_HOME: '~/h' })).toBe(join(homedir(), 'h', 'hub'));
    expect(cache({ HF_HOME: '/h', HF_HUB_CACHE: '$DISK/c', DISK: '/d' })).toBe('/d/c');
    expect(cache({ HF_HUB_CACHE: '' })).toBe(join(homedir(), '.cache', 'huggingface', 'hub'));
    expect(hubSettings({ cache: '/o' }, { ...nowhere, HF_HUB_CACHE: '/c' }).cache).toBe('/o');
  });

  it('know the endpoint and whether there is a network', () => {
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

describe('files', () => {
  it('that a model needs are chosen, and nothing else', () => {
    const base = [
      '.gitattributes',
      'README.md',
      'config.json',
      'tokenizer.json',
      'tokenizer.model',
      'chat_template.jinja',
      'pytorch_model.bin',
      'onnx/model.onnx',
      'tf_model.h5',
      'training_args.bin',
      'model.fp16.safetensors',
    ];
    const common = ['config.json', 'tokenizer.json', 'chat_template.jinja', 'tokenizer.model'].sort();
    const chosen = (paths: string[]) => [...chooseFiles(paths, 'a/b', {}).files].sort();
    expect(chosen([...base, 'model.safetensors', 'x.gguf'])).toEqual([...common, 'model.safetensors'].sort());
    expect(chosen([...base, 'model.safetensors.index.json', 'model-00001-of-00001.safetensors'])).toEqual(
      [...common, 'model.safetensors.index.json'].sort(),
    );
    expect(chosen([...base, 'x.gguf'])).toEqual(['x.gguf']);
    expect(() => chosen(base)).toThrow('pickle');
    expect(() => chosen(['README.md'])).toThrow('neither');
    expect(() => chosen(['model.safetensors'])).toThrow('no config.json');
  });

  it("are noted as Python's library notes them", () => {
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
