import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { isIntact, listLayouts, wastedLayouts } from '../src/checkpoint/layouts/contents.node.ts';
import { openLayout } from '../src/checkpoint/layouts/layout-file.node.ts';
import { openModel } from '../src/checkpoint/load.node.ts';
import { openTokenizer } from '../src/checkpoint/tokenizer.node.ts';
import { exportGguf } from '../src/export/gguf.node.ts';
import { ENGINE_NAME } from '../src/runtime/library.node.ts';
import { BYTE_TO_CHAR } from '../src/tokenizer/byte-alphabet.ts';
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { buildProgram, start, startCommand } from './helpers/cli.node.ts';
import { DAMAGED, withFlippedBit } from './helpers/layouts.node.ts';
import { saveUntrained, scratch } from './helpers/models.node.ts';
import { BPE_ALPHABET, randomBpe } from './helpers/random-tokenizers/bpe.ts';
import { Chooser } from './helpers/random-tokenizers/chooser.ts';

/**
 * Large vocabularies are kept as tables among the layouts. Whatever happens to those, the tokenizer is the one of the
 * file, whose ids other tests compare with the Rust library and llama.cpp.
 */

const { folder: root, remove } = scratch('vocabularies');
afterAll(remove);

let count = 0;
let folder: string;
beforeEach(() => {
  folder = join(root, `cache${count++}`);
});

const kept = () => (existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.layout')) : []);
const onlyKept = () => {
  expect(kept()).toHaveLength(1);
  return join(folder, kept()[0]!);
};

const cached = (path: string, more: object = {}) =>
  openTokenizer(path, { layoutCache: { folder, leastTokens: 1, settledMs: 0, ...more } });

/** Opens a tokenizer whose vocabulary was kept. */
async function again(path: string): Promise<Tokenizer> {
  const file = onlyKept();
  utimesSync(file, 1, 1);
  const tokenizer = await cached(path);
  // The time of its last use tells that it was used.
  expect(statSync(file).mtimeMs).toBeGreaterThan(1e12);
  return tokenizer;
}

/** A file that is large enough to be read into tables. */
function save(name: string, json: unknown, space?: number): string {
  const path = join(root, `${name}.json`);
  writeFileSync(path, JSON.stringify(json, null, space).padEnd(2 ** 19 + 1));
  return path;
}

const TEXTS = [
  '',
  'ab',
  `ab가\n😀x0 ${BPE_ALPHABET.join('')}`,
  ' a  b\t\u0001 <unk>é',
  '나'.repeat(100),
  '\ud800',
];

/** Everything that can be seen of a tokenizer. */
function seen(tokenizer: Tokenizer): unknown {
  const ids = Array.from({ length: tokenizer.vocabSize + 2 }, (_, id) => id);
  const encoded = TEXTS.map((text) => tokenizer.encode(text));
  return {
    json: JSON.stringify(tokenizer.toJSON()),
    config: tokenizer.config,
    encoded,
    decoded: [...encoded, ...ids.map((id) => [id])].map((some) => tokenizer.decode(some)),
    skipped: encoded.map((some) => tokenizer.decode(some, { skipSpecialTokens: true })),
    tokens: ids.map((id) => [tokenizer.idToToken(id), tokenizer.isSpecial(id), tokenizer.tokenBytes(id)]),
    back: ids.map((id) => tokenizer.tokenToId(tokenizer.idToToken(id) ?? 'none')),
    special: [tokenizer.bosId, tokenizer.eosId, tokenizer.unknownId, tokenizer.vocabSize],
  };
}

const random = (seed: number) => randomBpe(new Chooser(seed), { asTexts: seed % 2 === 0 });
const model = save('model', random(4));
const plain = seen(await openTokenizer(model, { layoutCache: false }));

/** A model folder and a GGUF file of it, with a vocabulary of 1,100 tokens. */
async function saveModel(name: string, tokenizer: object): Promise<{ folder: string; gguf: string }> {
  const path = join(root, name);
  await saveUntrained(path, { vocab_size: 1100 });
  writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(tokenizer).padEnd(2 ** 19 + 1));
  rmSync(join(path, 'tokenizer_config.json'));
  const opened = await openModel(path, { layoutCache: false });
  const gguf = join(root, `${name}.gguf`);
  await exportGguf(opened, gguf, { type: 'f32' });
  await opened.checkpoint.tensors.close();
  return { folder: path, gguf };
}

function vocabularyOf(first: readonly string[]) {
  const tokens = [...first];
  const known = new Set(tokens);
  const merges: [string, string][] = [];
  const choose = new Chooser(5);
  const parts = tokens.filter((token) => !token.startsWith('<'));
  while (tokens.length < 1100) {
    const [left, right] = [choose.pick(parts), choose.pick(parts)];
    if (left.length + right.length > 8 || known.has(left + right)) continue;
    merges.push([left, right]);
    for (const list of [tokens, parts]) list.push(left + right);
    known.add(left + right);
  }
  return { vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges };
}

const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
const common = { version: '1.0', normalizer: null, post_processor: null };
const ends = (id: number) => [{ id, content: '<|endoftext|>', ...flags }];
const byteLevel = {
  ...{ ...common, added_tokens: ends(0) },
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  model: { type: 'BPE', ...vocabularyOf(['<|endoftext|>', ...[...BYTE_TO_CHAR].sort()]) },
};
const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
const sentencePiece = {
  ...{ ...common, added_tokens: [...ends(0), { id: 1, content: '<unk>', ...flags }] },
  normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
  pre_tokenizer: null,
  decoder: {
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
    ],
  },
  model: {
    ...{ type: 'BPE', unk_token: '<unk>', fuse_unk: true, byte_fallback: true },
    ...vocabularyOf(['<|endoftext|>', '<unk>', ...bytes, ...'▁abcdeé가나다😀']),
  },
};
const models = [await saveModel('byte-level', byteLevel), await saveModel('spm', sentencePiece)];

describe('a tokenizer whose vocabulary was kept', () => {
  it('is the same in every respect, whatever the tokenizer', async () => {
    for (let seed = 0; seed < 24; seed++) {
      rmSync(folder, { recursive: true, force: true });
      const json = {
        ...random(seed),
        more: [-0, 1.5e-7, '\ud800', { __proto__: null, b: null }],
        padding: null,
      };
      const path = save(`random${seed}`, json, seed % 3);
      const without = seen(await openTokenizer(path, { layoutCache: false }));
      expect(seen(await cached(path)), `seed ${seed}`).toEqual(without);
      expect(seen(await again(path)), `seed ${seed}`).toEqual(without);
    }
  });

  it.each([
    ['a model folder', (i: number) => models[i]!.folder],
    ['a GGUF file', (i: number) => models[i]!.gguf],
  ])('is the same from %s', async (_, pathOf) => {
    for (const i of models.keys()) {
      rmSync(folder, { recursive: true, force: true });
      const path = pathOf(i);
      const without = seen(await openTokenizer(path, { layoutCache: false }));
      expect(seen(await cached(path))).toEqual(without);
      expect(seen(await again(path))).toEqual(without);
    }
  });

  it.each(['bpe-bytes', 'bpe-symbols'])('is the same from a tokenizer.model: %s', async (name) => {
    const path = join(root, name);
    mkdirSync(path);
    const file = join(path, 'tokenizer.model');
    writeFileSync(file, readFileSync(new URL(`./reference/sentencepiece/${name}.model`, import.meta.url)));
    // The rest of the conversion depends on another file, which may change.
    for (const config of [{}, { add_bos_token: false, add_eos_token: true, bos_token: null, more: 1 }]) {
      writeFileSync(join(path, 'tokenizer_config.json'), JSON.stringify(config));
      for (const from of [path, file]) {
        rmSync(folder, { recursive: true, force: true });
        const without = seen(await openTokenizer(from, { layoutCache: false }));
        expect(seen(await cached(from))).toEqual(without);
        expect(seen(await again(from))).toEqual(without);
      }
    }
    const unigram = join(root, `${name}.unigram.model`);
    writeFileSync(unigram, readFileSync(new URL('./reference/sentencepiece/unigram.model', import.meta.url)));
    rmSync(folder, { recursive: true, force: true });
    expect(seen(await cached(unigram))).toEqual(seen(await openTokenizer(unigram, { layoutCache: false })));
    expect(kept()).toEqual([]);
  });

  it.each(['gpt2', 'qwen2'])('is the same from vocab.json and merges.txt: %s', async (name) => {
    const path = join(root, name);
    cpSync(fileURLToPath(new URL(`./reference/vocab-merges/${name}`, import.meta.url)), path, {
      recursive: true,
    });
    const without = seen(await openTokenizer(path, { layoutCache: false }));
    expect(seen(await cached(path))).toEqual(without);
    expect(seen(await again(path))).toEqual(without);
    const merges = join(path, 'merges.txt');
    const lines = readFileSync(merges, 'utf8').split('\n');
    writeFileSync(merges, [...lines.slice(0, 1), ...lines.slice(2)].join('\n'));
    const fewer = seen(await openTokenizer(path, { layoutCache: false }));
    expect(fewer).not.toEqual(without);
    expect(seen(await cached(path))).toEqual(fewer);
  });

  it('is the same in a model: its files, its configuration, its warnings', async () => {
    for (const path of models.flatMap(({ folder: own, gguf }) => [own, gguf])) {
      rmSync(folder, { recursive: true, force: true });
      const opened = async (layoutCache: Parameters<typeof openModel>[1] = {}) => {
        const { checkpoint, config, stopTokens, warnings } = await openModel(path, layoutCache);
        const files = JSON.stringify(await checkpoint.tokenizerFiles());
        await checkpoint.tensors.close();
        return { config, stopTokens, warnings, files };
      };
      const without = await opened({ layoutCache: false });
      const layoutCache = { folder, leastTokens: 1, settledMs: 0 };
      expect(await opened({ layoutCache })).toEqual(without);
      utimesSync(onlyKept(), 1, 1);
      expect(await opened({ layoutCache })).toEqual(without);
      expect(statSync(onlyKept()).mtimeMs).toBeGreaterThan(1e12);
    }
  });

  it('takes the tokens of other files too, which may change', async () => {
    const path = join(root, 'joined', 'tokenizer.json');
    mkdirSync(dirname(path));
    writeFileSync(path, readFileSync(model));
    await cached(path);
    const added = { 900: { content: 'ab', ...flags } };
    writeFileSync(
      join(dirname(path), 'tokenizer_config.json'),
      JSON.stringify({ added_tokens_decoder: added }),
    );
    const without = seen(await openTokenizer(path, { layoutCache: false }));
    expect(without).not.toEqual(plain);
    expect(seen(await again(path))).toEqual(without);
  });

  it('is made anew when its file changed, even in place with its size and time kept', async () => {
    const path = join(root, 'changing.json');
    writeFileSync(path, readFileSync(model));
    const { atime, mtime } = statSync(path);
    await cached(path);
    const changed = readFileSync(model, 'utf8').replace('"17":', '"18":');
    // The clock of the file system has steps of some milliseconds.
    await new Promise((resolve) => setTimeout(resolve, 30));
    writeFileSync(path, changed);
    utimesSync(path, atime, mtime);
    const tokenizer = await cached(path);
    expect(tokenizer.tokenToId('17')).toBeUndefined();
    expect(tokenizer.tokenToId('18')).toBeDefined();
    expect(kept()).toHaveLength(2);
  });
});

describe('nothing is kept', () => {
  it.each([
    ['of small vocabularies', { leastTokens: undefined }],
    ['beyond the limit', { limitBytes: 1000 }],
  ])('%s', async (_, more) => {
    expect(seen(await cached(model, more))).toEqual(plain);
    expect(kept()).toEqual([]);
  });

  it('of files that have just changed', async () => {
    const path = join(root, 'fresh.json');
    writeFileSync(path, readFileSync(model));
    const later = new Date(Date.now() + 3600_000);
    utimesSync(path, later, later);
    expect(seen(await cached(path, { settledMs: undefined }))).toEqual(plain);
    expect(kept()).toEqual([]);
  });

  it('of other tokenizers, whose errors are the same', async () => {
    const wordLevel = save('word-level', {
      ...{ ...common, added_tokens: [], pre_tokenizer: null, decoder: null },
      model: { type: 'WordLevel', vocab: { a: 0, b: 1 }, unk_token: 'b' },
    });
    expect((await cached(wordLevel)).encode('a')).toEqual([0]);
    const wrong = [
      ['no-json', '{"model": {"vocab": {"a": 0}, "merges": ["a a"'],
      ['no-merge', JSON.stringify({ model: { type: 'BPE', vocab: { a: 0 }, merges: ['a a'] } })],
      ['no-model', '{"added_tokens": []}'],
    ] as const;
    for (const [name, text] of wrong) {
      const path = join(root, `${name}.json`);
      writeFileSync(path, text.padEnd(2 ** 19 + 1));
      const errorOf = (opening: Promise<Tokenizer>) =>
        opening.then(
          () => 'none',
          (error: Error) => error.message,
        );
      const message = await errorOf(openTokenizer(path, { layoutCache: false }));
      expect(message).toContain(path);
      expect(await errorOf(cached(path))).toBe(message);
      expect(await errorOf(cached(path))).toBe(message);
    }
    expect(kept()).toEqual([]);
  });
});

describe('a damaged file is found out and made again', () => {
  const damages: [string, (good: Uint8Array) => Uint8Array][] = [
    ...DAMAGED,
    ...[0, 0.2, 0.4, 0.6, 0.8, 0.99].map((share): [string, (good: Uint8Array) => Uint8Array] => [
      `one with a flipped bit at ${share}`,
      (good) => withFlippedBit(good, share),
    ]),
  ];

  it.each(damages)('%s', async (_, damage) => {
    await cached(model);
    const path = onlyKept();
    const good = readFileSync(path);
    writeFileSync(path, damage(good));
    expect(seen(await cached(model))).toEqual(plain);
    expect(readFileSync(path).equals(good)).toBe(true);
    expect(seen(await again(model))).toEqual(plain);
  });

  it("another tokenizer's, or one of another version, under its name", async () => {
    await cached(save('other', random(6)));
    const other = onlyKept();
    await cached(model);
    const path = join(folder, kept().find((name) => join(folder, name) !== other)!);
    const good = readFileSync(path);
    rmSync(path);
    writeFileSync(path, readFileSync(other));
    expect(seen(await cached(model))).toEqual(plain);
    expect(readFileSync(path).equals(good)).toBe(true);
    renameSync(path, other);
    expect(seen(await cached(model))).toEqual(plain);
    expect(readFileSync(path).equals(good)).toBe(true);
  });

  it.each(['a folder', 'a pipe'])('%s in its place: the vocabulary is made', async (what) => {
    await cached(model);
    const path = onlyKept();
    rmSync(path);
    if (what === 'a folder') mkdirSync(path);
    else if (process.platform === 'win32') return;
    else expect((await startCommand('mkfifo', [path]).finished).code).toBe(0);
    expect(seen(await cached(model))).toEqual(plain);
  });
});

it('is listed, verified and pruned like a layout', async () => {
  const path = join(root, 'listed.json');
  writeFileSync(path, readFileSync(model));
  await cached(path);
  const [listed] = await listLayouts(folder);
  expect(listed).toMatchObject({ path: onlyKept(), description: { source: path, form: 'vocabulary' } });
  expect(await isIntact(listed!)).toBe(true);
  expect(await wastedLayouts(folder, ENGINE_NAME)).toEqual([]);
  const bad = readFileSync(listed!.path);
  bad[100]! ^= 1;
  writeFileSync(listed!.path, bad);
  expect(await isIntact(listed!)).toBe(false);
  rmSync(path);
  expect(await wastedLayouts(folder, ENGINE_NAME)).toMatchObject([{ reason: 'model is gone' }]);
});

it('makes room as layouts do: the least recently used goes first', async () => {
  await cached(model);
  const first = onlyKept();
  const limitBytes = 1.5 * statSync(first).size;
  utimesSync(first, 1, 1);
  expect(seen(await cached(save('second', random(4)), { limitBytes }))).toEqual(plain);
  expect(onlyKept()).not.toBe(first);
});

describe('several processes', () => {
  it('at once: both are right, one file remains', async () => {
    const program = await buildProgram('test/helpers/vocabulary-child.node.ts');
    const expected = JSON.stringify(
      (await openTokenizer(model, { layoutCache: false })).encode('abab가\n😀x0'),
    );
    const children = [0, 1, 2].map(() => start(program, [model, folder]).finished);
    for (const { code, stdout, stderr } of await Promise.all(children))
      expect([code, stderr, stdout]).toEqual([0, '', expected]);
    expect(readdirSync(folder)).toEqual(kept());
    expect(seen(await again(model))).toEqual(plain);
  });

  it.each([1, 4, 10])('killed instead of write %i: the next one is right, and cleans up', async (write) => {
    const program = await buildProgram('test/helpers/vocabulary-child.node.ts');
    const { signal } = await start(program, [model, folder, String(write)]).finished;
    expect(signal).toBe('SIGKILL');
    expect(kept()).toEqual([]);
    expect(seen(await cached(model))).toEqual(plain);
    expect(readdirSync(folder)).toEqual(kept());
    expect(seen(await again(model))).toEqual(plain);
  });
});

describe('a folder that cannot be written', () => {
  it.skipIf(process.platform === 'win32')('a disk that takes no more', async () => {
    const program = await buildProgram('test/helpers/vocabulary-child.node.ts');
    // No file may exceed 2 blocks of 512 or 1024 bytes.
    const command = `ulimit -f 2; exec "${process.execPath}" "${program}" "${model}" "${folder}"`;
    const { code, stderr } = await startCommand('sh', ['-c', command]).finished;
    expect([code, stderr]).toEqual([0, '']);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('a file instead of a folder', async () => {
    writeFileSync(folder, '');
    expect(seen(await cached(model))).toEqual(plain);
  });

  it.skipIf(process.platform !== 'linux')('a file system without permission', async () => {
    // Not even root makes folders there.
    expect(seen(await cached(model, { folder: '/proc/ropewalk/layouts' }))).toEqual(plain);
  });
});

/**
 * Not what is right, but what was: where these bytes change, vocabularies that were kept before are wrong, and
 * TABLES_VERSION must be raised together with them.
 */
it('has the bytes that it had when its version was made', async () => {
  const hashes: string[] = [];
  for (const path of [model, ...models.map(({ gguf }) => gguf)]) {
    rmSync(folder, { recursive: true, force: true });
    await cached(path);
    const file = onlyKept();
    const opened = (await openLayout(file))!;
    await opened.handle.close();
    expect(opened.description.engine).toBe('vocabulary 1');
    const { bytes } = opened.description;
    hashes.push(
      createHash('sha256').update(readFileSync(file).subarray(0, bytes)).digest('hex').slice(0, 16),
    );
  }
  expect(hashes).toEqual(['b20905d6ce6ee1e7', '188f9a16b1009c72', '502d839daf3e7121']);
});
