import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixture } from '../../test/helpers/fixtures.node.ts';
import { trainBpe } from './bpe-trainer.ts';
import { StreamDecoder } from './stream.ts';
import { loadTokenizer } from './tokenizer.node.ts';
import { Tokenizer } from './tokenizer.ts';
import { incompleteTail } from './utf8.ts';

const bytesTokenizer = Tokenizer.fromJSON(
  trainBpe(['한국어 한국어 한국말, 가나다 👩‍👩‍👧 🙂🙂 naïve'], { vocabSize: 290 }),
);
const mistralDecoder = (strip: object) => ({
  added_tokens: [],
  decoder: {
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
      { type: 'Strip', content: ' ', ...strip },
    ],
  },
  model: { type: 'BPE', vocab: { a: 0, '▁': 1, '<0xEA>': 2, '<0xB0>': 3, '<0x80>': 4, '▁▁': 5 }, merges: [] },
});

function streamed(tokenizer: Tokenizer, ids: readonly number[], skipSpecialTokens = false): string[] {
  const decoder = new StreamDecoder(tokenizer, { skipSpecialTokens });
  return [...ids.map((id) => decoder.push(id)), decoder.flush()];
}

function agreesOnRandomIds(tokenizer: Tokenizer): void {
  const ids = fc.array(fc.integer({ min: 0, max: tokenizer.vocabSize + 2 }), { maxLength: 40 });
  fc.assert(
    fc.property(ids, fc.boolean(), (sequence, skipSpecialTokens) => {
      const whole = tokenizer.decode(sequence, { skipSpecialTokens });
      expect(streamed(tokenizer, sequence, skipSpecialTokens).join('')).toBe(whole);
    }),
    { numRuns: 500 },
  );
}

describe('incompleteTail', () => {
  it('agrees with TextDecoder on which bytes may still become a character', () => {
    // A prefix of well-formed UTF-8 waits; the platform's streaming decoder tells the same by emitting nothing.
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 }), (bytes) => {
        const end = bytes.length - incompleteTail(bytes);
        const whole = new TextDecoder().decode(bytes, { stream: true });
        expect(new TextDecoder().decode(bytes.subarray(0, end))).toBe(whole);
      }),
      {
        numRuns: 2000,
        examples: [
          [Uint8Array.of(0xf0, 0x9f, 0x99)],
          [Uint8Array.of(0xed, 0xa0)],
          [Uint8Array.of(0xe0, 0x80)],
        ],
      },
    );
  });
});

describe('StreamDecoder', () => {
  it('never emits half a character', () => {
    const text = '가 한국어 👩‍👩‍👧🙂 é';
    const ids = Array.from(new TextEncoder().encode(text), byteId);
    const pieces = streamed(bytesTokenizer, ids);
    expect(pieces.join('')).toBe(text);
    expect(pieces.filter((piece) => piece !== '')).toEqual([...text]);
  });

  it('turns unfinished bytes into U+FFFD when flushed, and starts anew', () => {
    const decoder = new StreamDecoder(bytesTokenizer);
    expect(decoder.push(byteId(0xea))).toBe('');
    expect(decoder.push(byteId(0xb0))).toBe('');
    expect(decoder.flush()).toBe('\ufffd');
    expect(decoder.push(byteId(0x41))).toBe('A');
    expect(decoder.flush()).toBe('');
  });

  it('emits U+FFFD for invalid bytes as soon as they are certain', () => {
    const pieces = streamed(bytesTokenizer, [0xea, 0x41, 0xff, 0xea, 0xb0, 0x80].map(byteId));
    expect(pieces).toEqual(['', '\ufffdA', '\ufffd', '', '', '가', '']);
  });

  it('keeps a byte order mark inside the text', () => {
    const ids = [0xef, 0xbb, 0xbf].map(byteId);
    expect(streamed(bytesTokenizer, ids).join('')).toBe('\ufeff');
    expect(bytesTokenizer.decode(ids)).toBe('\ufeff');
  });

  it('gives what decode gives for random ids of a byte-level BPE', () => agreesOnRandomIds(bytesTokenizer));

  it.each([
    { start: 1, stop: 0 },
    { start: 2, stop: 0 },
    { start: 0, stop: 2 },
    { start: 1, stop: 1 },
  ])('gives what decode gives with byte fallback and Strip %o', (strip) => {
    agreesOnRandomIds(Tokenizer.fromJSON(mistralDecoder(strip)));
  });

  it.each(['always', 'first', 'never'])(
    'gives what decode gives with Metaspace, prepend_scheme %s',
    (prepend_scheme) => {
      const json = mistralDecoder({});
      agreesOnRandomIds(
        Tokenizer.fromJSON({ ...json, decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme } }),
      );
    },
  );

  it('drops only the first space, which SentencePiece put there', () => {
    const tokenizer = Tokenizer.fromJSON(mistralDecoder({ start: 1, stop: 0 }));
    expect(streamed(tokenizer, [1, 0, 1, 0])).toEqual(['', 'a', ' ', 'a', '']);
    expect(streamed(tokenizer, [5, 0])).toEqual([' ', 'a', '']);
  });

  it('gives what decode gives for random ids of stories260K', () => {
    agreesOnRandomIds(loadTokenizer(fixture('stories260K')));
  });
});

/** The id of one byte: special token 0, then the bytes by the order of their characters in the vocabulary. */
function byteId(byte: number): number {
  for (let id = 1; id <= 256; id++) if (bytesTokenizer.tokenBytes(id)?.[0] === byte) return id;
  throw new Error(`no token for byte ${byte}`);
}
