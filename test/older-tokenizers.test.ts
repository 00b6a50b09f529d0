import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { openTokenizer } from '../src/checkpoint/tokenizer.node.ts';
import { RopewalkError } from '../src/errors.ts';
import { ROOT, ropewalk } from './helpers/cli.node.ts';

/** Model directories whose tokenizer is in older files, without a tokenizer.json. */

const reference = (path: string) => join(ROOT, 'test/reference', path);
const root = mkdtempSync(join(tmpdir(), 'ropewalk-older-'));
afterAll(() => rmSync(root, { recursive: true }));

function modelWith(name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(root, name);
  cpSync(reference('llama'), folder, { recursive: true });
  rmSync(join(folder, 'tokenizer.json'), { force: true });
  for (const [file, from] of Object.entries(files)) cpSync(reference(from), join(folder, file));
  return folder;
}

it('commands open older tokenizer files, and export a tokenizer.json that gives the same ids', async () => {
  const folder = modelWith('spm', { 'tokenizer.model': 'sentencepiece/bpe-bytes.model' });
  const text = 'the quick 옛날 fox';
  const encoded = await ropewalk(['tokenizer', 'encode', folder, '--text', text, '--json']);
  expect(encoded.code, encoded.stderr).toBe(0);
  const { ids } = JSON.parse(encoded.stdout) as { ids: number[] };
  expect(ids[0]).toBe(1);
  expect((await openTokenizer(join(folder, 'tokenizer.model'))).encode(text)).toEqual(ids);
  const out = join(root, 'exported');
  const exported = await ropewalk(['export', folder, '--to', 'hf', '--out', out]);
  expect(exported.code, exported.stderr).toBe(0);
  rmSync(join(out, 'tokenizer.model'), { force: true });
  expect((await openTokenizer(out)).encode(text)).toEqual(ids);
  const { model } = JSON.parse(readFileSync(join(out, 'tokenizer.json'), 'utf8'));
  expect(model.type).toBe('BPE');
});

it('commands open vocab.json with merges.txt by its folder or by its file', async () => {
  const files = ['vocab.json', 'merges.txt', 'config.json'];
  const folder = modelWith(
    'bpe',
    Object.fromEntries(files.map((name) => [name, `vocab-merges/gpt2/${name}`])),
  );
  const ids = (await openTokenizer(folder)).encode('the quick fox');
  expect(ids.length).toBeGreaterThan(2);
  expect((await openTokenizer(join(folder, 'vocab.json'))).encode('the quick fox')).toEqual(ids);
});

it('commands report a Git LFS pointer or a damaged tokenizer file with its remedy', async () => {
  const folder = modelWith('pointer', {});
  const file = join(folder, 'tokenizer.model');
  const refusal = async () => {
    const error: unknown = await openTokenizer(folder).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RopewalkError);
    return (error as RopewalkError).message;
  };
  writeFileSync(file, 'version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n');
  expect(await refusal()).toMatch(/tokenizer\.model: it is a Git LFS pointer/);
  writeFileSync(file, 'something else');
  expect(await refusal()).toMatch(
    /tokenizer\.model: it is not a SentencePiece model .*use the model's original/,
  );
});
