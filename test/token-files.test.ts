import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { openTokenizer } from '../src/checkpoint/tokenizer.node.ts';
import { exportGguf } from '../src/export/gguf.node.ts';
import { exportHuggingFace } from '../src/export/hf.node.ts';
import { exportOnnx } from '../src/export/onnx.node.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { tinyTokenizer } from './helpers/tiny-tokenizer.ts';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'ropewalk-token-files-'));
});
afterAll(() => rmSync(root, { recursive: true }));

type Json = Record<string, unknown>;
const readJson = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Json;

/** The llama reference case, whose tokenizer.json lacks tokens that other files add. */
function folder(
  name: string,
  files: Readonly<Record<string, Json>>,
  change?: (tokenizer: Json) => void,
): string {
  const path = join(root, name);
  cpSync(fileURLToPath(new URL('./reference/llama/', import.meta.url)), path, { recursive: true });
  const { tokenizer, config } = tinyTokenizer();
  change?.(tokenizer);
  writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(join(path, 'tokenizer_config.json'), JSON.stringify({ ...config, ...files.config }));
  for (const [file, value] of Object.entries(files)) {
    if (file !== 'config') writeFileSync(join(path, `${file}.json`), JSON.stringify(value));
  }
  return path;
}

const TEXT = '<|im_start|>the sand<|im_end|> and<extra>';
/** The tokenizer's own 50 tokens come first. */
const NEXT = 50;

describe('added tokens that only files beside tokenizer.json declare', () => {
  const added = {
    ...{ lstrip: false, rstrip: false, normalized: false, single_word: false },
    special: true,
  };
  const cases: [string, Readonly<Record<string, Json>>][] = [
    [
      'added_tokens_decoder',
      {
        config: {
          added_tokens_decoder: {
            [NEXT]: { content: '<|im_start|>', ...added },
            [NEXT + 1]: { content: '<|im_end|>', ...added },
            [NEXT + 2]: { content: '<extra>', ...added, special: false },
          },
        },
      },
    ],
    ['added_tokens', { added_tokens: { '<|im_start|>': NEXT, '<|im_end|>': NEXT + 1, '<extra>': NEXT + 2 } }],
    [
      'special_tokens_map',
      { special_tokens_map: { additional_special_tokens: ['<|im_start|>', '<|im_end|>', '<extra>'] } },
    ],
    ['additional', { config: { additional_special_tokens: ['<|im_start|>', '<|im_end|>', '<extra>'] } }],
  ];

  it.each(cases)('appear in ids, folders, ONNX and GGUF: %s', async (name, files) => {
    const path = folder(name, files);
    const opened = await openModel(path);
    const tokenizer = (await tokenizerOf(opened.checkpoint))!;
    const ids = tokenizer.encode(TEXT);
    expect(ids[0]).toBe(NEXT);
    expect(ids).toContain(NEXT + 1);
    expect(ids.at(-1)).toBe(NEXT + 2);
    const out = (kind: string) => join(root, `${name}.${kind}`);
    await exportHuggingFace(opened, out('hf'));
    await exportOnnx(opened, out('onnx'));
    const { notes } = await exportGguf(opened, out('gguf'), { type: 'f32' });
    await opened.checkpoint.tensors.close();
    for (const kind of ['hf', 'onnx']) {
      // tokenizer.json alone has them: what Rust's library and transformers.js read.
      const alone = Tokenizer.fromJSON(readJson(join(out(kind), 'tokenizer.json')));
      expect(alone.encode(TEXT)).toEqual(ids);
      expect((await openTokenizer(out(kind))).encode(TEXT)).toEqual(ids);
    }
    const gguf = await openTokenizer(out('gguf'));
    expect(gguf.encode(TEXT)).toEqual(ids);
    expect(gguf.isSpecial(NEXT)).toBe(name !== 'added_tokens');
    expect(notes.join('\n')).toContain('"<|im_end|>"');
  });

  it('appear in the configuration of an ONNX folder when special_tokens_map.json names them', async () => {
    const path = folder('names', { special_tokens_map: { eos_token: '<stop>' } });
    const opened = await openModel(path);
    expect((await tokenizerOf(opened.checkpoint))!.eosId).toBe(2);
    await exportOnnx(opened, join(root, 'names.onnx'));
    await opened.checkpoint.tensors.close();
    expect(readJson(join(root, 'names.onnx', 'tokenizer_config.json')).eos_token).toBe('<stop>');
  });

  it('are left out of GGUF by name when their ids are beyond the model', async () => {
    const config = { pad_token: '[PAD]', additional_special_tokens: [] as string[] };
    for (let id = NEXT; id < 96; id++) config.additional_special_tokens.push(`<filler ${id}>`);
    const path = folder('behind', { config });
    const opened = await openModel(path);
    const pad = (await tokenizerOf(opened.checkpoint))!.tokenToId('[PAD]');
    expect(pad).toBe(NEXT);
    const { notes } = await exportGguf(opened, join(root, 'behind.gguf'), { type: 'f32' });
    await opened.checkpoint.tensors.close();
    expect(notes).toContain(
      'The model has 96 tokens; further tokens of the tokenizer are omitted: "<filler 95>".',
    );
  });

  it('are named when they are normalized and GGUF is written, since llama.cpp has no such tokens', async () => {
    const path = folder('normalized', { added_tokens: { '<extra>': NEXT } }, (tokenizer) => {
      tokenizer.normalizer = { type: 'NFC' };
    });
    const opened = await openModel(path);
    const { notes } = await exportGguf(opened, join(root, 'normalized.gguf'), { type: 'f32' });
    await opened.checkpoint.tensors.close();
    expect(notes).toContainEqual(
      expect.stringMatching(/normalized text \("normalized"\); llama\.cpp.*"<extra>"/),
    );
  });
});

describe('a GGUF file without a telling name', () => {
  it('is recognized by its first bytes', async () => {
    const path = folder('blob', {});
    const opened = await openModel(path);
    await exportGguf(opened, join(root, 'blob.gguf'), { type: 'f32' });
    await opened.checkpoint.tensors.close();
    const blob = join(root, 'sha256-0a1b2c');
    copyFileSync(join(root, 'blob.gguf'), blob);
    const again = await openModel(blob);
    expect(again.family.name).toBe('llama');
    expect((await openTokenizer(blob)).encode('the')).toEqual((await openTokenizer(path)).encode('the'));
    await again.checkpoint.tensors.close();
    writeFileSync(join(root, 'other'), 'GGU');
    await expect(openModel(join(root, 'other'))).rejects.toThrow('it is a file');
  });
});
