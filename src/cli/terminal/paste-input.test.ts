import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PasteInput, unmarked } from './paste-input.ts';

/** What the editor is given of chunks. */
async function given(chunks: readonly (string | Buffer)[]): Promise<string> {
  const source = new PassThrough();
  const input = new PasteInput(source);
  let text = '';
  input.on('data', (chunk: string) => {
    text += chunk;
  });
  const ended = new Promise((resolve) => input.on('end', resolve));
  for (const chunk of chunks) source.write(chunk);
  source.end();
  await ended;
  return text;
}

const pasted = (text: string) => `\x1b[200~${text}\x1b[201~`;

describe('pasted text', () => {
  it.each([
    ['three lines', 'one\rtwo\rthree', 'one\ntwo\nthree'],
    ['line breaks of every kind', 'a\r\nb\nc\rd', 'a\nb\nc\nd'],
    ['separators that Node cuts at', 'a\u2028b\u2029c', 'a\u2028b\u2029c'],
    ['the signs that stand for line breaks', '␊\u2060␊\n\u2060', '␊\u2060␊\n\u2060'],
    ['tabs, without other keys', 'a\tb\x03\x1bc', 'a\tbc'],
  ])('enters the editor as one line: %s', async (_, text, wanted) => {
    const line = await given([pasted(text)]);
    expect(line).not.toMatch(/[\r\n\u2028\u2029]/);
    expect(unmarked(line).text).toBe(wanted);
  });

  it('is never taken for a command, while typed text is', async () => {
    expect(unmarked(await given(['/save x']))).toEqual({ text: '/save x', isCommand: true });
    expect(unmarked(await given([pasted('/exit\rmore')]))).toEqual({ text: '/exit\nmore', isCommand: false });
    expect(unmarked(await given(['/load ', pasted('/tmp/x')]))).toEqual({
      text: '/load /tmp/x',
      isCommand: true,
    });
    expect(unmarked(await given(['no']))).toEqual({ text: 'no', isCommand: false });
  });

  it('is restored exactly, wherever the chunks are cut', async () => {
    const unit = fc.constantFrom('a', '/', '\n', '\u2028', '\u2029', '\u2060', '␊', '한', '🙂', '\t');
    const text = fc.string({ unit, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(text, text, fc.integer({ min: 1, max: 9 }), async (typed, paste, size) => {
        const before = typed.replaceAll('\n', '');
        const bytes = Buffer.from(before + pasted(paste));
        const chunks: Buffer[] = [];
        // An escape alone is a key, so that a border is not cut behind its first byte.
        for (let at = 0; at < bytes.length; ) {
          let end = Math.min(bytes.length, at + size);
          while (bytes[end - 1] === 0x1b) end++;
          chunks.push(bytes.subarray(at, end));
          at = end;
        }
        expect(unmarked(await given(chunks)).text).toBe(before + paste);
      }),
      { numRuns: 300 },
    );
  });
});
