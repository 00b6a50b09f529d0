import { constants } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { RopewalkError } from '../errors.ts';
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

/** Where the first ill-formed character of `bytes` begins; they must hold one. */
function firstBadByte(bytes: Uint8Array): number {
  // A prefix that is wrong stays wrong as it grows, so the shortest wrong one can be bisected.
  let good = 0;
  let bad = bytes.length;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isUtf8(bytes.subarray(0, middle))) good = middle;
    else bad = middle;
  }
  return good - incompleteTail(bytes.subarray(0, good));
}

function notUtf8(path: string, byte: number, offset: number, isUtf16: boolean): RopewalkError {
  const encoding = isUtf16 ? 'UTF-16' : 'CP949';
  const guess = isUtf16 ? 'it begins like UTF-16' : 'Korean files are often CP949';
  return new RopewalkError(
    `${path} is not UTF-8: byte 0x${byte.toString(16).padStart(2, '0')} at offset ${offset} begins no character; ` +
      `convert the file (${guess}): iconv -f ${encoding} -t UTF-8 "${path}" > converted.txt`,
  );
}

async function readTextFile(path: string): Promise<string> {
  const decoder = strictDecoder();
  const parts: string[] = [];
  let length = 0;
  let pending: Uint8Array = new Uint8Array(0);
  let offset = 0; // of the first byte of `pending` in the file
  let isUtf16 = false;
  const stream: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: 1 << 20 });
  for await (const chunk of stream) {
    const bytes = concatenate([pending, chunk]);
    if (offset === 0) isUtf16 = bytes[0]! + (bytes[1] ?? 0) === 0x1fd && bytes[0]! >= 0xfe;
    const whole = bytes.subarray(0, bytes.length - incompleteTail(bytes));
    try {
      parts.push(decoder.decode(whole));
    } catch {
      const bad = firstBadByte(whole);
      throw notUtf8(path, whole[bad]!, offset + bad, isUtf16);
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
  if (pending.length > 0) throw notUtf8(path, pending[0]!, offset, isUtf16);
  const text = parts.join('');
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

/**
 * Reads text files, strictly as UTF-8, in the order given. A byte order mark at a file's start is left out.
 *
 * @throws RopewalkError that names the file when it is missing, a directory, empty or unreadable, and the offset of
 *   the first wrong byte when it is not UTF-8: text that was decoded wrongly would be learnt without a sign.
 */
export async function readTextFiles(paths: readonly string[]): Promise<TextFile[]> {
  if (paths.length === 0) throw new RopewalkError('no text file is given; name at least one');
  const files: TextFile[] = [];
  for (const path of paths) {
    let text: string;
    try {
      if ((await stat(path)).isDirectory()) {
        throw new RopewalkError(`${path} is a directory; name the text files in it`);
      }
      text = await readTextFile(path);
    } catch (error) {
      if (error instanceof RopewalkError) throw error;
      const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      const reason = missing
        ? 'there is no such file'
        : error instanceof Error
          ? error.message
          : String(error);
      throw new RopewalkError(`${path} cannot be read: ${reason}`, { cause: error });
    }
    if (text === '') throw new RopewalkError(`${path} is empty; a text file needs text`);
    files.push({ path, text });
  }
  return files;
}
