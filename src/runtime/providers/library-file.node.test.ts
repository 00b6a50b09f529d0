import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkLibraryFile } from './library-file.node.ts';

let folder: string;
const write = (name: string, bytes: Uint8Array | string) => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'library-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const linux = { platform: 'linux', arch: 'x64' };

/** A library of 600 bytes: its header, one segment of 400 bytes from 120 on, and a table of one section at its end. */
function elf(): Buffer {
  const file = Buffer.alloc(600);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE(3, 16);
  file.writeUInt16LE(62, 18);
  file.writeBigUInt64LE(64n, 32);
  file.writeBigUInt64LE(536n, 40);
  for (const [at, value] of [
    [54, 56],
    [56, 1],
    [58, 64],
    [60, 1],
  ] as const)
    file.writeUInt16LE(value, at);
  file.writeBigUInt64LE(120n, 64 + 8);
  file.writeBigUInt64LE(400n, 64 + 32);
  return file;
}

function changed(change: (file: Buffer) => void): Buffer {
  const file = elf();
  change(file);
  return file;
}

describe("a provider library's file", () => {
  it('is accepted if it is whole', () => {
    expect(() => checkLibraryFile(write('whole.so', elf()), linux)).not.toThrow();
  });

  it('of the engine itself is accepted', () => {
    const koffi = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
    const { platform, arch } = process;
    const file = {
      linux: 'libonnxruntime.so.1',
      darwin: 'libonnxruntime.1.30.0.dylib',
      win32: 'onnxruntime.dll',
    };
    const path = join(koffi, '..', 'bin', 'napi-v6', platform, arch, file[platform as 'linux']);
    expect(() => checkLibraryFile(path)).not.toThrow();
  });

  it.each([0, 3, 40, 64, 100, 300, 599])('that was cut off after %i bytes is refused', (length) => {
    const path = write(`cut-${length}.so`, elf().subarray(0, length));
    expect(() => checkLibraryFile(path, linux)).toThrow(/cut-\d+\.so is (?:cut off|not an ELF library)/);
  });

  it.each([
    ['whose segment ends beyond it', changed((file) => file.writeBigUInt64LE(481n, 64 + 32))],
    [
      'whose segment is larger than any file',
      changed((file) => file.writeBigUInt64LE(2n ** 64n - 1n, 64 + 32)),
    ],
    ['whose table begins beyond it', changed((file) => file.writeBigUInt64LE(2n ** 63n, 32))],
    ['with segments of a wrong size', changed((file) => file.writeUInt16LE(8, 54))],
    ['without a segment', changed((file) => file.writeUInt16LE(0, 56))],
  ])('%s is refused', (_, bytes) => {
    expect(() => checkLibraryFile(write('wrong.so', bytes), linux)).toThrow(
      /wrong\.so is cut off: it has 600 bytes/,
    );
  });

  it('for another processor is refused', () => {
    const path = write(
      'arm.so',
      changed((file) => file.writeUInt16LE(183, 18)),
    );
    expect(() => checkLibraryFile(path, linux)).toThrow(/arm\.so was built for arm64, but this is x64/);
    expect(() => checkLibraryFile(path, { platform: 'linux', arch: 'arm64' })).not.toThrow();
  });

  it('that is a program, or has 32 bits, is refused', () => {
    for (const change of [
      (file: Buffer) => file.writeUInt16LE(2, 16),
      (file: Buffer) => file.writeUInt8(1, 4),
    ]) {
      expect(() => checkLibraryFile(write('other.so', changed(change)), linux)).toThrow(
        /is not a 64-bit library/,
      );
    }
  });

  it.each([
    ['linux', 'an ELF library'],
    ['darwin', 'a Mach-O library'],
    ['win32', 'a Windows library'],
  ])('that is text is refused on %s', (platform, kind) => {
    const path = write('text.so', readFileSync(import.meta.filename));
    expect(() => checkLibraryFile(path, { platform, arch: 'x64' })).toThrow(
      new RegExp(`text\\.so is not ${kind}`),
    );
  });

  it('that does not exist is refused', () => {
    expect(() => checkLibraryFile(join(folder, 'none.so'))).toThrow(/none\.so does not exist/);
    expect(() => checkLibraryFile(join(write('file', ''), 'none.so'))).toThrow(/none\.so does not exist/);
  });

  it('that is a folder is refused', () => {
    expect(() => checkLibraryFile(folder)).toThrow(/is not a file/);
  });
});
