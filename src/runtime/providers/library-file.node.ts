import { accessSync, closeSync, constants, openSync, readSync, type Stats, statSync } from 'node:fs';
import { RopewalkError } from '../../errors.ts';

/*
 * Checks a library's file before the system loads it. The system's loader maps a file without looking at its end: one
 * that was cut off kills the process when a missing page is read.
 */

/** e_machine in the headers of ELF files, by Node's name of the processor. */
const MACHINES: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };
const MACHINE_NAMES: Readonly<Record<number, string>> = {
  3: 'ia32',
  40: 'arm',
  62: 'x64',
  183: 'arm64',
  243: 'riscv64',
};

/** The first bytes of a library on each platform. */
const MAGIC: Readonly<Record<string, { readonly bytes: readonly string[]; readonly name: string }>> = {
  linux: { bytes: ['7f454c46'], name: 'an ELF library (.so)' },
  darwin: { bytes: ['cffaedfe', 'cafebabe'], name: 'a Mach-O library (.dylib)' },
  win32: { bytes: ['4d5a'], name: 'a Windows library (.dll)' },
};

/**
 * @throws RopewalkError if the file does not exist, is no library of this platform and processor, or is cut off (on
 *   Linux; the loaders of Windows and macOS say so themselves).
 */
export function checkLibraryFile(
  path: string,
  { platform, arch }: { platform: string; arch: string } = process,
): void {
  const { size } = regularFile(path);
  const file = openSync(path, 'r');
  try {
    const header = Buffer.alloc(64);
    const read = readSync(file, header, 0, header.length, 0);
    const expected = MAGIC[platform];
    if (expected && !expected.bytes.some((bytes) => header.toString('hex').startsWith(bytes)))
      throw new RopewalkError(`${path} is not ${expected.name}; give the path of a provider library.`);
    if (platform !== 'linux') return;
    const cut = new RopewalkError(`${path} is cut off: it has ${size} bytes. Install it again.`);
    if (read < header.length) throw cut;
    // Little-endian, 64 bits: all processors for which there is an engine.
    if (header[4] !== 2 || header[5] !== 1 || header.readUInt16LE(16) !== 3)
      throw new RopewalkError(`${path} is not a 64-bit library; give the path of a provider library.`);
    const machine = header.readUInt16LE(18);
    if (MACHINES[arch] !== undefined && machine !== MACHINES[arch]) {
      throw new RopewalkError(
        `${path} was built for ${MACHINE_NAMES[machine] ?? `machine ${machine}`}, but this is ${arch}; install the package for ${arch}.`,
      );
    }
    if (endOf(file, header, size) > size) throw cut;
  } finally {
    closeSync(file);
  }
}

/** Looked at before it is opened: opening a pipe would wait for its other end. */
function regularFile(path: string): Stats {
  try {
    const status = statSync(path);
    if (status.isFile()) {
      accessSync(path, constants.R_OK);
      return status;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' || code === 'ENOTDIR' ? 'does not exist' : `cannot be read (${code})`;
    throw new RopewalkError(`${path} ${why}; give the path of a provider library.`, { cause: error });
  }
  throw new RopewalkError(`${path} is not a file; give the path of a provider library.`);
}

/** Where the tables and segments of an ELF file end; infinite if its header makes no sense. */
function endOf(file: number, header: Buffer, size: number): number {
  const [segments, sections] = [header.readBigUInt64LE(32), header.readBigUInt64LE(40)].map(Number);
  const [segmentSize, segmentCount, sectionSize, sectionCount] = [54, 56, 58, 60].map((at) =>
    header.readUInt16LE(at),
  );
  let end = Math.max(segments! + segmentSize! * segmentCount!, sections! + sectionSize! * sectionCount!);
  if (segmentSize !== 56 || segmentCount === 0 || end > size) return Number.POSITIVE_INFINITY;
  const table = Buffer.alloc(segmentSize * segmentCount!);
  if (readSync(file, table, 0, table.length, segments!) < table.length) return Number.POSITIVE_INFINITY;
  for (let at = 0; at < table.length; at += segmentSize)
    end = Math.max(end, Number(table.readBigUInt64LE(at + 8)) + Number(table.readBigUInt64LE(at + 32)));
  return end;
}
