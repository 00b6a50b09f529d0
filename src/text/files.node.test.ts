import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RopewalkError } from '../errors.ts';
import { readTextFiles } from './files.node.ts';
import { mobyDick } from './moby-dick.node.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ropewalk-text-'));
});
afterAll(() => rm(directory, { recursive: true }));

async function write(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

async function failure(path: string): Promise<string> {
  const error = await readTextFiles([path]).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(RopewalkError);
  return (error as RopewalkError).message;
}

describe('readTextFiles', () => {
  it('reads files in order, keeping characters that span two chunks', async () => {
    const korean = `x${'가나다🧵'.repeat(300_000)}`; // 3.9 MB; no character ends at a megabyte
    const first = await write('korean.txt', korean);
    const second = await write('plain.txt', 'one\r\ntwo\0three\n');
    expect(await readTextFiles([first, second])).toEqual([
      { path: first, text: korean },
      { path: second, text: 'one\r\ntwo\0three\n' },
    ]);
  });

  it('strips a byte order mark only at the start', async () => {
    const path = await write('bom.txt', '\ufeffone\ufefftwo');
    expect((await readTextFiles([path]))[0]!.text).toBe('one\ufefftwo');
  });

  it.each([
    ['a Latin-1 letter', [0x61, 0xe9, 0x62], 1, 0xe9],
    ['a byte that never occurs', [0x61, 0x62, 0xff], 2, 0xff],
    ['a continuation byte alone', [0xbf, 0x61], 0, 0xbf],
    ['an overlong slash', [0x61, 0xc0, 0xaf], 1, 0xc0],
    ['a surrogate', [0x61, 0xed, 0xa0, 0x80], 1, 0xed],
    ['a character broken off by the end', [0x61, 0xea, 0xb0], 1, 0xea],
    ['a character broken off by another', [0xea, 0xb0, 0xea, 0xb0, 0x80], 0, 0xea],
    ['beyond the last code point', [0xf4, 0x90, 0x80, 0x80], 0, 0xf4],
  ])('names the byte offset of %s', async (name, bytes, offset, byte) => {
    const path = await write(`${name}.bin`, Uint8Array.from(bytes));
    const message = await failure(path);
    expect(message).toContain(`${path} is not UTF-8: byte 0x${byte.toString(16)} at offset ${offset} `);
    expect(message).toContain('iconv -f CP949 -t UTF-8');
  });

  it('names the byte offset of a fault far inside a file', async () => {
    const before = '가'.repeat(700_001);
    const path = await write(
      'far.txt',
      Buffer.concat([Buffer.from(before), Buffer.from([0xb0, 0xa1, 0x0a])]),
    );
    expect(await failure(path)).toContain(`byte 0xb0 at offset ${3 * 700_001} `);
  });

  it('refuses UTF-16 with the command that converts it', async () => {
    const path = await write('utf16.txt', Buffer.from('\ufeff가나다', 'utf16le'));
    expect(await failure(path)).toContain('iconv -f UTF-16 -t UTF-8');
  });

  it('refuses missing files, directories, empty files and an empty list', async () => {
    expect(await failure(join(directory, 'none.txt'))).toContain(
      'none.txt cannot be read: there is no such file',
    );
    expect(await failure(await mkdtemp(join(directory, 'none-')))).toContain('a folder without text files');
    expect(await failure(await write('empty.txt', ''))).toContain('empty.txt is empty');
    expect(await failure(await write('only-bom.txt', '\ufeff'))).toContain('only-bom.txt is empty');
    await expect(readTextFiles([])).rejects.toThrow('name at least one');
  });
});

describe('mobyDick', () => {
  it('is the whole novel in reading order', async () => {
    const text = await mobyDick();
    const bytes = Buffer.byteLength(text);
    expect(bytes).toBeGreaterThan(1_150_000);
    expect(bytes).toBeLessThan(1_250_000);
    expect(text).toMatch(/^CHAPTER 1\. Loomings\.\n\nCall me Ishmael\. /);
    expect(text).toMatch(/found another orphan\.\n$/);
    const chapters = [...text.matchAll(/^CHAPTER (\d+)\./gm)].map((match) => Number(match[1]));
    expect(chapters).toEqual(Array.from({ length: 135 }, (_, i) => i + 1));
  });
});
