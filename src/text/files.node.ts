import { constants } from 'node:buffer';
import { join } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { fileBytes } from '../files/file-bytes.node.ts';
import { filesBelow, filesOfPattern, kindOf } from '../files/paths.node.ts';
import { utf16Of } from '../files/utf16.ts';
import { concatenate, incompleteTail } from '../tokenizer/utf8.ts';

export interface TextFile {
  path: string;
  text: string;
}

const strictDecoder = () => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function isUtf8(bytes: Uint8Array): boolean {
  try {
    strictDecoder().decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}

/** Where the first invalid character of `bytes` begins; there must be one. */
function firstBadByte(bytes: Uint8Array): number {
  // A prefix that is invalid stays invalid as it grows, so the shortest one is found by binary search.
  let good = 0;
  let bad = bytes.length;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isUtf8(bytes.subarray(0, middle))) good = middle;
    else bad = middle;
  }
  return good - incompleteTail(bytes.subarray(0, good));
}

function notUtf8(path: string, byte: number, offset: number): RopewalkError {
  return new RopewalkError(
    `${path} is not UTF-8: byte 0x${byte.toString(16).padStart(2, '0')} at offset ${offset} does not start a character; ` +
      `convert the file (Korean files are often CP949): ${conversion(path, 'CP949')}`,
  );
}

function conversion(path: string, encoding: string): string {
  return path.toLowerCase().endsWith('.gz')
    ? `gzip -dc "${path}" | iconv -f ${encoding} -t UTF-8 > converted.txt`
    : `iconv -f ${encoding} -t UTF-8 "${path}" > converted.txt`;
}

async function readTextFile(path: string, signal: AbortSignal | undefined): Promise<string> {
  const decoder = strictDecoder();
  const parts: string[] = [];
  let length = 0;
  let pending: Uint8Array = new Uint8Array(0);
  let offset = 0; // Offset of the first byte of `pending` in the decompressed file.
  for await (const chunk of fileBytes(path)) {
    signal?.throwIfAborted();
    const bytes = concatenate([pending, chunk]);
    const utf16 = offset === 0 ? utf16Of(bytes.subarray(0, 1024)) : undefined;
    if (utf16) {
      throw new RopewalkError(
        `${path} is not UTF-8: it starts like ${utf16}; convert the file: ${conversion(path, utf16)}`,
      );
    }
    const whole = bytes.subarray(0, bytes.length - incompleteTail(bytes));
    try {
      parts.push(decoder.decode(whole));
    } catch {
      const bad = firstBadByte(whole);
      throw notUtf8(path, whole[bad]!, offset + bad);
    }
    length += parts.at(-1)!.length;
    if (length > constants.MAX_STRING_LENGTH) {
      throw new RopewalkError(
        `${path} has more than ${constants.MAX_STRING_LENGTH} characters; split it into smaller files`,
      );
    }
    pending = bytes.slice(whole.length);
    offset += whole.length;
  }
  if (pending.length > 0) throw notUtf8(path, pending[0]!, offset);
  const text = parts.join('');
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

export interface ReadTextOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with a sentence for each file without text, which is skipped. */
  readonly onWarning?: ((text: string) => void) | undefined;
}

/** Extensions of the files that are read from a folder; each may be followed by `.gz`. */
const TEXT_ENDING = /\.(?:txt|text|md)(?:\.gz)?$/i;

/**
 * Reads text files, strictly as UTF-8, in the order given; those of a folder (`.txt`, `.text`, `.md`, also in
 * subfolders) or a pattern (`texts/*.txt`) sorted by name. Files whose names end in `.gz` are decompressed. A byte
 * order mark at a file's start is removed.
 *
 * @throws RopewalkError naming the file if it is missing or unreadable, and the offset of the first invalid byte if
 *   it is not UTF-8, because wrongly decoded text would be learned silently; also if no file has any text.
 */
export async function readTextFiles(
  names: readonly string[],
  { signal, onWarning }: ReadTextOptions = {},
): Promise<TextFile[]> {
  if (names.length === 0) throw new RopewalkError('no text file is given; name at least one');
  const files: TextFile[] = [];
  let last = '';
  for (const name of names) {
    for (const path of await textFilesOf(name)) {
      signal?.throwIfAborted();
      let text: string;
      try {
        text = await readTextFile(path, signal);
      } catch (error) {
        signal?.throwIfAborted();
        throw error instanceof RopewalkError ? error : cannotRead(path, error);
      }
      last = path;
      if (text === '') onWarning?.(`${path} is empty; it is skipped`);
      else files.push({ path, text });
    }
  }
  if (files.length === 0) throw new RopewalkError(`${last} is empty; provide a file with text`);
  return files;
}

async function textFilesOf(name: string): Promise<string[]> {
  if ((await kindOf(name)) !== 'folder') return (await filesOfPattern(name)) ?? [name];
  let all: string[];
  try {
    all = await filesBelow(name);
  } catch (error) {
    throw cannotRead(name, error);
  }
  const found = all.filter((path) => TEXT_ENDING.test(path));
  if (found.length === 0) {
    throw new RopewalkError(
      `${name} is a folder without text files (.txt, .text, .md, also with .gz); name the files themselves`,
    );
  }
  return found.map((path) => join(name, path));
}

function cannotRead(path: string, error: unknown): RopewalkError {
  const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
  const reason = missing ? 'there is no such file' : error instanceof Error ? error.message : String(error);
  return new RopewalkError(`${path} cannot be read: ${reason}`, { cause: error });
}
