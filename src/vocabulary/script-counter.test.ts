import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SCRIPTS, scriptOf } from '../tokenizer/unicode/scripts.ts';
import { ScriptCounter } from './script-counter.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text);

it('a token of one character counts for its script, whatever the character', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0x10ffff }), (code) => {
      fc.pre(code < 0xd800 || code >= 0xe000);
      const character = String.fromCodePoint(code);
      const counter = new ScriptCounter();
      counter.push(bytesOf(character));
      counter.flush();
      expect(counter.tokens[scriptOf(code)]).toBe(1);
    }),
    { numRuns: 500 },
  );
});

it('each byte of a character counts for its script, and bytes that are no text for none', () => {
  const counter = new ScriptCounter();
  for (const byte of bytesOf('밧줄')) counter.push(Uint8Array.of(byte));
  counter.push(bytesOf(' rope'));
  counter.push(Uint8Array.of(0xff, 0xc0));
  counter.push(Uint8Array.of(0xe0, 0x80, 0x80));
  counter.push(Uint8Array.of(0xed, 0xa0, 0x80));
  counter.push(Uint8Array.of(0x90, 0x80));
  counter.push(new Uint8Array(0));
  counter.flush();
  expect(counter.tokens).toEqual({
    ...Object.fromEntries(SCRIPTS.map((script) => [script, 0])),
    ...{ hangul: 6, latin: 1, other: 5 },
  });
});
