import { createReadStream } from 'node:fs';
import { RopewalkError } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';

/**
 * The text of a file, piece by piece, strictly as UTF-8; a byte order mark is left out.
 *
 * @throws RopewalkError naming the file, when it cannot be read, and the line where it is not UTF-8: text that was decoded
 *   wrongly would be learnt without a sign.
 */
export async function* textChunks(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const stream: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: 1 << 20 });
  let line = 1;
  try {
    for await (const bytes of stream) {
      const text = decode(() => decoder.decode(bytes, { stream: true }), bytes, path, line);
      for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) line++;
      yield text;
    }
  } catch (error) {
    throw fileError(error, 'read', path);
  }
  yield decode(() => decoder.decode(), new Uint8Array(0), path, line);
}

function decode(work: () => string, bytes: Uint8Array, path: string, line: number): string {
  try {
    return work();
  } catch (error) {
    throw new RopewalkError(
      `${path}:${line + goodLines(bytes)}: from about here on the file is not UTF-8; convert it (Korean files are often CP949): iconv -f CP949 -t UTF-8 "${path}" > converted`,
      { cause: error },
    );
  }
}

/** Line breaks before the first bytes that cannot be UTF-8; the piece may begin within a character. */
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
