import { Tokenizer as RustTokenizer } from 'tokenizers';
import { describe, expect, it } from 'vitest';
import { BPE_ALPHABET, randomBpe } from '../../../test/helpers/random-tokenizers/bpe.ts';
import { Chooser } from '../../../test/helpers/random-tokenizers/chooser.ts';
import { randomModel } from '../../../test/helpers/random-tokenizers/models.ts';
import { RopewalkError } from '../../errors.ts';
import { Tokenizer } from '../tokenizer.ts';
import { tablesOf } from './bpe-tables.ts';
import { scanTokenizer } from './scan-tokenizer.ts';

const encoder = new TextEncoder();
const scanned = (text: string) => scanTokenizer(encoder.encode(text), 0);

/** JSON with every character beyond ASCII as an escape, as Python writes it by default. */
function escaped(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

describe('scanTokenizer', () => {
  it('gives the JSON that JSON.parse gives, and the ids of the Rust library', async () => {
    let tables = 0;
    for (let seed = 0; seed < 120; seed++) {
      const choose = new Chooser(seed);
      const written = JSON.stringify(randomBpe(choose, { asTexts: seed % 2 === 0 }), null, seed % 3);
      const json = scanned(written);
      if (!json) throw new Error(`seed ${seed} was not read`);
      expect(tablesOf(json.model)).toBeDefined();
      tables++;
      const oracle = RustTokenizer.fromString(written);
      const ours = Tokenizer.fromJSON(json);
      for (let i = 0; i < 12; i++) {
        const text = choose.text(BPE_ALPHABET, choose.pick([3, 12, 200]));
        expect(ours.encode(text), `seed ${seed}, ${JSON.stringify(text)}`).toEqual(
          (await oracle.encode(text)).getIds(),
        );
      }
      const parsed = JSON.parse(written);
      for (const [token, id] of Object.entries(parsed.model.vocab as Record<string, number>)) {
        expect(ours.tokenToId(token)).toBe(id);
        expect(ours.idToToken(id)).toBe(token);
      }
      expect(ours.tokenToId('\ud800')).toBeUndefined();
      expect(ours.vocabSize).toBe(Tokenizer.fromJSON(parsed).vocabSize);
      expect(JSON.stringify(json)).toBe(JSON.stringify(parsed));
      expect(structuredClone(json)).toEqual(parsed);
    }
    expect(tables).toBe(120);
  });

  it('reads escapes like JSON.parse', () => {
    for (let seed = 0; seed < 40; seed++) {
      const written = escaped(JSON.stringify(randomBpe(new Chooser(seed))));
      const json = scanned(written);
      // Surrogate pairs in escapes are left to JSON.parse.
      expect(json === undefined).toBe(written.includes('\\ud8'));
      if (json) expect(JSON.stringify(json)).toBe(JSON.stringify(JSON.parse(written)));
      const plain = escaped(JSON.stringify(randomBpe(new Chooser(seed))).replaceAll('😀', '\u20ac'));
      if (new Set(Object.values(JSON.parse(plain).model.vocab)).size === 0) continue;
      const read = scanned(plain);
      if (read) expect(JSON.stringify(read)).toBe(JSON.stringify(JSON.parse(plain)));
    }
  });

  it('gives the result of JSON.parse or leaves the file to it, whatever the file contains', () => {
    let kept = 0;
    for (let seed = 0; seed < 3000; seed++) {
      const choose = new Chooser(seed);
      let written = JSON.stringify(randomBpe(choose, { asTexts: seed % 2 === 0 }));
      const bits = ['"', '\\', ',', ':', '{', '}', '[', ']', '0', '-', 'e', ' ', '\n', '\t', '\u0000', 'é'];
      const texts = [
        '"vocab":{}',
        '"merges":[],',
        '"model":{},',
        '\\u00e9',
        '\\u0020',
        '#version',
        'NaN',
        '1.0',
      ];
      for (let i = choose.pick([1, 1, 1, 2, 3]); i > 0; i--) {
        const at = Math.floor(choose.pick([...Array(50).keys()]) * (written.length / 50));
        const place = at + choose.pick([...Array(40).keys()]);
        const cut = choose.pick([0, 0, 1, 2, 12]);
        written = written.slice(0, place) + choose.pick([...bits, ...texts, '']) + written.slice(place + cut);
      }
      // A cut may have split a character.
      written = new TextDecoder().decode(encoder.encode(written));
      const json = scanned(written);
      if (json === undefined) continue;
      kept++;
      const parsed = JSON.parse(written);
      expect(JSON.stringify(json), `seed ${seed}`).toBe(JSON.stringify(parsed));
      const tokenizer = (value: unknown) => {
        try {
          return Tokenizer.fromJSON(value).encode(`ab가\n😀x0 ${BPE_ALPHABET.join('').repeat(6)}`);
        } catch (error) {
          if (error instanceof RopewalkError) return error.message;
          throw error;
        }
      };
      expect(tokenizer(json), `seed ${seed}`).toEqual(tokenizer(parsed));
    }
    expect(kept).toBeGreaterThan(200);
  });

  it('leaves models of other kinds, and small files, to JSON.parse', () => {
    for (let seed = 0; seed < 100; seed++) {
      const model = randomModel(new Chooser(seed), BPE_ALPHABET);
      const written = JSON.stringify({ added_tokens: [], model });
      const json = scanned(written);
      if (json) expect(JSON.stringify(json)).toBe(JSON.stringify(JSON.parse(written)));
      expect(scanTokenizer(encoder.encode(written))).toBeUndefined();
    }
    expect(scanned('')).toBeUndefined();
    expect(scanned('{"model":{"vocab":{"a":0},"merges":["a a"')).toBeUndefined();
  });
});
