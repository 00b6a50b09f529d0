import { BYTE_TO_CHAR } from './byte-alphabet.ts';

const encoder = new TextEncoder();
const ALPHABET_ITSELF = /^[!-~]*$/;

/** A text's UTF-8 bytes in the characters of the byte alphabet. */
export function spellBytes(text: string): string {
  if (ALPHABET_ITSELF.test(text)) return text;
  let characters = '';
  for (const byte of encoder.encode(text)) characters += BYTE_TO_CHAR[byte];
  return characters;
}
