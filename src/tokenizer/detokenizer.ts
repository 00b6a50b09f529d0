import { RopewalkError } from '../errors.ts';
import { CHAR_TO_BYTE } from './byte-alphabet.ts';
import { isObject, type JsonObject } from './tokenizer-schema.ts';

/** A token on its way to bytes; `bytes` is set by the stage that turns the token into raw bytes. */
interface Piece {
  text: string;
  bytes?: Uint8Array;
}

type Stage = (piece: Piece, first: boolean) => Piece;

/** Cuts up to `start` leading and up to `stop` trailing copies of `content` off the whole text. */
export interface Strip {
  content: string;
  start: number;
  stop: number;
}

const encoder = new TextEncoder();

/**
 * The "decoder" of tokenizer.json compiled to a function from one token to UTF-8 bytes. Every decoder that
 * the decoder-only families use has this form: the text is the concatenated bytes of its tokens, decoded
 * leniently, less a strip at the ends. That makes decoding a stream exact and constant time per token.
 */
export class Detokenizer {
  readonly strip: Strip | undefined;
  readonly #stages: Stage[];

  /** @param decoder the field "decoder" of tokenizer.json. @param source the name for error messages */
  constructor(decoder: JsonObject | null, source: string) {
    const { stages, strip } = compile(decoder, source);
    this.#stages = stages;
    this.strip = strip;
  }

  /** The UTF-8 bytes of a token; they may be part of a character. `first`: nothing precedes it. */
  bytes(token: string, first: boolean): Uint8Array {
    let piece: Piece = { text: token };
    for (const stage of this.#stages) piece = stage(piece, first);
    return piece.bytes ?? encoder.encode(piece.text);
  }
}

function compile(decoder: JsonObject | null, source: string): { stages: Stage[]; strip?: Strip } {
  if (decoder === null) {
    // Without a decoder the Hugging Face library joins the tokens by spaces.
    return { stages: [(piece, first) => (first ? piece : { text: ` ${piece.text}` })] };
  }
  const parts = decoder.type === 'Sequence' ? decoder.decoders : [decoder];
  if (!Array.isArray(parts)) throw new RopewalkError(`${source}: "decoder.decoders" is not an array`);
  const stages: Stage[] = [];
  let strip: Strip | undefined;
  let fused = false;
  for (const part of parts) {
    const type = isObject(part) ? part.type : undefined;
    if (!isObject(part) || (fused && type !== 'Strip') || strip) {
      throw unsupported(source, `${String(type)} after Fuse or Strip`);
    }
    switch (type) {
      case 'ByteLevel':
        stages.push(byteLevel);
        break;
      case 'ByteFallback':
        stages.push(byteFallback);
        break;
      case 'Replace':
        stages.push(replace(part, source));
        break;
      case 'Metaspace':
        stages.push(metaspace(part));
        break;
      case 'Fuse':
        fused = true;
        break;
      case 'Strip':
        if (!fused) throw unsupported(source, 'Strip before Fuse');
        strip = {
          content: String(part.content ?? ''),
          start: Number(part.start ?? 0),
          stop: Number(part.stop ?? 0),
        };
        break;
      default:
        throw unsupported(source, String(type));
    }
  }
  return strip ? { stages, strip } : { stages };
}

function unsupported(source: string, what: string): RopewalkError {
  return new RopewalkError(
    `${source}: the field "decoder" uses ${what}, which Ropewalk does not run; supported are ByteLevel, ` +
      'Metaspace, Replace (of a string), ByteFallback, and Fuse followed by Strip',
  );
}

/** A token with a character outside the byte alphabet (an added token) stands for itself. */
const byteLevel: Stage = (piece) => {
  const bytes: number[] = [];
  for (const char of piece.text) {
    const byte = CHAR_TO_BYTE.get(char);
    if (byte === undefined) return { text: piece.text, bytes: encoder.encode(piece.text) };
    bytes.push(byte);
  }
  return { text: piece.text, bytes: Uint8Array.from(bytes) };
};

/** SentencePiece writes a byte outside its vocabulary as `<0xEA>`. */
const byteFallback: Stage = (piece) => {
  const match = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece.text);
  return match ? { text: piece.text, bytes: Uint8Array.of(Number.parseInt(match[1]!, 16)) } : piece;
};

function replace(part: JsonObject, source: string): Stage {
  const from = isObject(part.pattern) ? part.pattern.String : undefined;
  const to = part.content;
  if (typeof from !== 'string' || typeof to !== 'string') {
    throw unsupported(source, 'Replace of a regular expression');
  }
  return (piece) => (piece.bytes ? piece : { text: piece.text.replaceAll(from, to) });
}

/** `▁` is a space; the first token loses its marks, which the encoder had put in front of the text. */
function metaspace(part: JsonObject): Stage {
  const mark = String(part.replacement ?? '▁');
  const keepsFirst = part.prepend_scheme === 'never' || part.add_prefix_space === false;
  return (piece, first) =>
    piece.bytes ? piece : { text: piece.text.replaceAll(mark, first && !keepsFirst ? '' : ' ') };
}
