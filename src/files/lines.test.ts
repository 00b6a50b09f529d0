import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readLines } from './lines.ts';

async function linesOf(chunks: readonly (Uint8Array | string)[]): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of readLines(from(chunks))) lines.push(line);
  return lines;
}

async function* from<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

describe('splitting a stream into lines', () => {
  it.each([
    ['U+2028 inside a line', 'a\u2028b\n', ['a\u2028b']],
    ['U+2029 inside a line', 'a\u2029b\nc', ['a\u2029b', 'c']],
    ['NEL inside a line', 'a\u0085b\n', ['a\u0085b']],
    ['other white space that other tools cut at', 'a\u000bb\u000cc\u001cd\n', ['a\u000bb\u000cc\u001cd']],
    ['a line of U+2028 alone', '\u2028\n', ['\u2028']],
    ['a carriage return inside a line', 'a\rb\r\n', ['a\rb']],
    ['empty lines', '\n\r\nx\n\n', ['', '', 'x', '']],
    ['nothing', '', []],
    ['a byte order mark, once', '\ufeffa\n\ufeffb', ['a', '\ufeffb']],
  ])('handles this case: %s', async (_, text, wanted) => {
    expect(await linesOf([Buffer.from(text)])).toEqual(wanted);
  });

  it('gives the same lines wherever the chunks are cut', async () => {
    const unit = fc.constantFrom('a', '\n', '\r\n', '\r', '\u2028', '\u2029', '\u0085', '한', '🙂');
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit, maxLength: 30 }),
        fc.integer({ min: 1, max: 5 }),
        async (text, size) => {
          const bytes = Buffer.from(text);
          const chunks: Uint8Array[] = [];
          for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
          const wanted = text.split('\n').map((line) => line.replace(/\r$/, ''));
          if (text === '' || text.endsWith('\n')) wanted.pop();
          expect(await linesOf(chunks)).toEqual(wanted);
        },
      ),
      { numRuns: 300 },
    );
  });
});
