import type { Component } from './component.ts';
import { fallbackByte } from './decoders/byte-fallback.ts';
import { readStrip, type Strip } from './decoders/strip.ts';
import { ByteSpellings } from './decoders/text-assembly.ts';
import { wordPieceTexts } from './decoders/words.ts';
import { replacement } from './normalizers/replace.ts';
import { metaspaceFields } from './pre-tokenizers/metaspace.ts';

/** A token during conversion to bytes; `bytes` is set by the stage that produces raw bytes. */
interface Piece {
  text: string;
  bytes?: Uint8Array;
}

type Stage = (piece: Piece, first: boolean) => Piece;

const encoder = new TextEncoder();

/**
 * The "decoder" of tokenizer.json as a function from one token to UTF-8 bytes. Every decoder of decoder-only families
 * has this form: the text is the concatenated bytes of its tokens, decoded leniently, with the ends stripped. It is
 * used to determine what may follow a text (constraints) and the positions of tokens; `Decoder` produces the texts
 * themselves.
 */
export class Detokenizer {
  /** What is stripped from the ends of a text. */
  readonly strip: Strip | undefined;
  readonly #stages: readonly Stage[] | undefined;

  /** @param decoder the field "decoder" of tokenizer.json */
  constructor(decoder: Component | undefined) {
    const compiled = compile(decoder);
    this.#stages = compiled?.stages;
    this.strip = compiled?.strip;
  }

  /**
   * The UTF-8 bytes of a token; they may be part of a character. Undefined for decoders of another form. `first`:
   * nothing precedes it.
   */
  bytes(token: string, first: boolean): Uint8Array | undefined {
    if (!this.#stages) return undefined;
    let piece: Piece = { text: token };
    for (const stage of this.#stages) piece = stage(piece, first);
    return piece.bytes ?? encoder.encode(piece.text);
  }
}

function compile(decoder: Component | undefined): { stages: Stage[]; strip?: Strip } | undefined {
  // Without a decoder tokens are joined by spaces.
  if (!decoder) return { stages: [(piece, first) => (first ? piece : { text: ` ${piece.text}` })] };
  const stages: Stage[] = [];
  let strip: Strip | undefined;
  let joined = false;
  for (const part of flatten(decoder)) {
    const { type } = part.json;
    if (strip || (joined && type !== 'Strip' && type !== 'Fuse')) return undefined;
    switch (type) {
      case 'ByteLevel':
        stages.push(byteLevel());
        joined = true;
        break;
      case 'ByteFallback':
        stages.push(byteFallback);
        break;
      case 'Replace':
        stages.push(onText(replacement(part)));
        break;
      case 'WordPiece': {
        const [first, other] = wordPieceTexts(part);
        stages.push((piece, isFirst) => onText(isFirst ? first : other)(piece, isFirst));
        break;
      }
      case 'Metaspace':
        stages.push(metaspace(part));
        break;
      case 'Fuse':
        joined = true;
        break;
      case 'Strip':
        if (!joined) return undefined;
        strip = readStrip(part);
        break;
      default:
        return undefined;
    }
  }
  return strip ? { stages, strip } : { stages };
}

function flatten(component: Component): Component[] {
  return component.json.type === 'Sequence' ? component.components('decoders').flatMap(flatten) : [component];
}

function onText(change: (text: string) => string): Stage {
  return (piece) => (piece.bytes ? piece : { text: change(piece.text) });
}

function byteLevel(): Stage {
  const spellings = new ByteSpellings();
  return ({ text, bytes }) => ({ text, bytes: bytes ?? spellings.bytes(text) });
}

/** SentencePiece writes a byte outside its vocabulary as `<0xEA>`. */
const byteFallback: Stage = (piece) => {
  const byte = fallbackByte(piece.text);
  return byte === undefined ? piece : { text: piece.text, bytes: Uint8Array.of(byte) };
};

/** The mark is a space; the first token loses its marks, which the encoder added before the text. */
function metaspace(part: Component): Stage {
  const { mark, scheme } = metaspaceFields(part);
  return (piece, first) =>
    piece.bytes ? piece : { text: piece.text.replaceAll(mark, first && scheme !== 'never' ? '' : ' ') };
}
