import { ApiError } from './api-error.ts';

/** The maximum nesting of arrays and objects: more than any real request has. */
const MOST_NESTED = 100;

/**
 * The JSON body of a request.
 *
 * @param most bytes.
 * @throws ApiError: 413 for more, 415 for another type, 400 if it is not JSON in UTF-8 or nests too deeply.
 */
export async function readJson(request: Request, most: number): Promise<unknown> {
  const type = request.headers.get('content-type') ?? '';
  if (!/^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type)) {
    throw new ApiError(415, `the body has to be JSON: send it with "Content-Type: application/json".`);
  }
  const bytes = await readBytes(request, most);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ApiError(400, 'the body is not valid UTF-8.');
  }
  checkNesting(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError(400, `the body is not valid JSON: ${(error as Error).message.slice(0, 200)}`);
  }
}

async function readBytes(request: Request, most: number): Promise<Uint8Array> {
  const tooLarge = () => new ApiError(413, `the body is larger than the limit of ${most} bytes.`);
  const declared = request.headers.get('content-length');
  if (Number(declared) > most) throw tooLarge();
  if (declared !== null) {
    // In one piece, which is cheaper: a server passes on at most the declared length.
    const bytes = new Uint8Array(await request.arrayBuffer().catch(endedEarly));
    if (bytes.length > most) throw tooLarge();
    return bytes;
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = request.body?.getReader();
  while (reader) {
    const { done, value } = await reader.read().catch(endedEarly);
    if (done) break;
    size += value.length;
    if (size > most) {
      void reader.cancel().catch(() => {});
      throw tooLarge();
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function endedEarly(): never {
  throw new ApiError(400, 'the body is incomplete.');
}

/** Counts brackets outside of strings: parsers and templates recurse as deeply as they nest. */
function checkNesting(text: string): void {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (inString) {
      if (char === '\\') at++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{' || char === '[') {
      if (++depth > MOST_NESTED) throw new ApiError(400, `the body nests deeper than ${MOST_NESTED} levels.`);
    } else if (char === '}' || char === ']') depth--;
  }
}
