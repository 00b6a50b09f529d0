import { inPlace, type Normalizer } from './normalizer.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it removes
const CONTROL = /[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]/g;
const SPACES = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g;

/** `Nmt`: removes control characters, and replaces what SentencePiece's NMT rules treat as spaces by spaces. */
export const nmt: Normalizer = inPlace((text) => text.replace(CONTROL, '').replace(SPACES, ' '));
