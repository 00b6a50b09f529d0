import { RopewalkError } from '../../errors.ts';
import { fileBytes } from '../../files/file-bytes.node.ts';
import { fileError } from '../../files/file-errors.ts';
import { utf16Of } from '../../files/utf16.ts';

/** Bytes from which a text file's encoding is guessed. */
const HEAD = 1024;

/**
 * The text of a file, piece by piece, strictly as UTF-8, without a byte order mark. A file whose name ends in `.gz`
 * is decompressed.
 *
 * @param onBytes called with the number of bytes read so far.
 * @throws RopewalkError naming the file if it cannot be read, and the line where it is not UTF-8: wrongly decoded
 *   text would be learned silently.
 */
export async function* textChunks(path: string, onBytes?: (bytes: number) => void): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  let isFirst = true;
  try {
    for await (const bytes of fileBytes(path, onBytes)) {
      const utf16 = isFirst ? utf16Of(bytes.subarray(0, HEAD)) : undefined;
      if (utf16) throw notUtf8(path, 1, utf16);
      isFirst = false;
      const text = decode(() => decoder.decode(bytes, { stream: true }), bytes, path, line);
      for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) line++;
      yield text;
    }
  } catch (error) {
    throw fileError(error, 'read', path);
  }
  yield decode(() => decoder.decode(), new Uint8Array(0), path, line);
}

function notUtf8(path: string, line: number, encoding: string, cause?: unknown): RopewalkError {
  const guess =
    encoding === 'CP949' ? 'Korean files are often CP949' : `its first bytes are those of ${encoding}`;
  const source = path.toLowerCase().endsWith('.gz') ? `gzip -dc "${path}" | iconv` : 'iconv';
  const named = source === 'iconv' ? ` "${path}"` : '';
  return new RopewalkError(
    `${path}:${line}: from about this point the file is not UTF-8; convert it (${guess}): ${source} -f ${encoding} -t UTF-8${named} > converted`,
    { cause },
  );
}

function decode(work: () => string, bytes: Uint8Array, path: string, line: number): string {
  try {
    return work();
  } catch (error) {
    throw notUtf8(path, line + goodLines(bytes), 'CP949', error);
  }
}

/** Line breaks before the first invalid UTF-8; the piece may begin within a character. */
function goodLines(bytes: Uint8Array): number {
  let lines = 0;
  let start = 0;
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
    const first = start === 0 ? bytes.findIndex((byte) => byte < 0x80 || byte >= 0xc0) : start;
    try {
      decoder.decode(bytes.subarray(Math.max(0, first), end));
    } catch {
      break;
    }
    lines++;
    start = end + 1;
  }
  return lines;
}
