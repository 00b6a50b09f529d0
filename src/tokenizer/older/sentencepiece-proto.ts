import { BinaryReader, type WireType } from '@bufbuild/protobuf/wire';
import { RopewalkError } from '../../errors.ts';
import { NORMAL } from './token-types.ts';

/** A token of a SentencePiece model. */
interface Piece {
  readonly text: string;
  readonly score: number;
  /** One of `token-types.ts`. */
  readonly type: number;
}

/** The parts of a `tokenizer.model` that affect ids and texts (sentencepiece_model.proto). */
export interface SentencePieceModel {
  readonly pieces: readonly Piece[];
  readonly kind: 'unigram' | 'bpe' | 'word' | 'char';
  readonly byteFallback: boolean;
  readonly spaceIsSuffix: boolean;
  readonly unkId: number;
  /** Undefined if there is none. */
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  /** The name of the normalization rules. */
  readonly rules: string;
  /** These rules; empty if texts are not normalized. */
  readonly charsmap: Uint8Array;
  /** Rules for decoded texts; usually empty. */
  readonly decodingCharsmap: Uint8Array;
  readonly addsDummyPrefix: boolean;
  readonly removesExtraSpaces: boolean;
  readonly escapesSpaces: boolean;
}

/** Field numbers and wire types in a tag: `field << 3 | type`. */
const VARINT = 0;
const BYTES = 2;
const FLOAT = 5;

/** More tokens than any vocabulary has, so that a hostile file cannot exhaust memory. */
const MAX_PIECES = 2 ** 22;
const KINDS = ['unigram', 'bpe', 'word', 'char'] as const;

/**
 * Reads a SentencePiece model. Nothing in it is trusted: the protobuf reader checks lengths before anything is read;
 * kinds, scores and texts are checked here.
 *
 * @param source the file's name in messages.
 * @throws RopewalkError for bytes that are not such a model.
 */
export function readSentencePieceModel(bytes: Uint8Array, source: string): SentencePieceModel {
  const damaged = (why: string) =>
    new RopewalkError(
      `${source}: it is not a SentencePiece model (${why}); use the model's original tokenizer.model, or its tokenizer.json`,
    );
  const pieces: Piece[] = [];
  const trainer = new Map<number, number | Uint8Array>();
  const normalizer = new Map<number, number | Uint8Array>();
  let decodingCharsmap: Uint8Array = new Uint8Array(0);
  try {
    eachField(bytes, (field, type, reader) => {
      if (type !== BYTES) return false;
      if (field === 1) {
        if (pieces.length === MAX_PIECES) throw damaged(`more than ${MAX_PIECES} tokens`);
        pieces.push(readPiece(reader.bytes(), pieces.length, damaged));
      } else if (field === 2) readFields(reader.bytes(), trainer);
      else if (field === 3) readFields(reader.bytes(), normalizer);
      else if (field === 5) {
        const fields = new Map<number, number | Uint8Array>();
        readFields(reader.bytes(), fields);
        decodingCharsmap = bytesOf(fields.get(2));
      } else return false;
      return true;
    });
  } catch (error) {
    if (error instanceof RopewalkError) throw error;
    throw damaged(error instanceof Error ? error.message : String(error));
  }
  if (pieces.length === 0) throw damaged('no tokens');
  const kind = KINDS[(numberOf(trainer.get(3)) ?? 1) - 1];
  if (!kind) throw damaged(`its kind is ${numberOf(trainer.get(3))}`);
  const id = (field: number, usual: number) => {
    const value = numberOf(trainer.get(field)) ?? usual;
    if (value >= pieces.length) throw damaged(`an id of ${value}, and ${pieces.length} tokens`);
    return value < 0 ? undefined : value;
  };
  const flag = (field: number) => (normalizer.get(field) ?? 1) !== 0;
  const unkId = id(40, 0);
  if (unkId === undefined) throw damaged('no unknown token');
  return {
    pieces,
    kind,
    byteFallback: trainer.get(35) === 1,
    spaceIsSuffix: trainer.get(24) === 1,
    unkId,
    bosId: id(41, 1),
    eosId: id(42, 2),
    padId: id(43, -1),
    rules: new TextDecoder().decode(bytesOf(normalizer.get(1))),
    charsmap: bytesOf(normalizer.get(2)),
    decodingCharsmap,
    addsDummyPrefix: flag(3),
    removesExtraSpaces: flag(4),
    escapesSpaces: flag(5),
  };
}

function readPiece(bytes: Uint8Array, id: number, damaged: (why: string) => RopewalkError): Piece {
  let text: string | undefined;
  let score = 0;
  let type = NORMAL;
  eachField(bytes, (field, wire, reader) => {
    if (field === 1 && wire === BYTES) {
      try {
        text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(reader.bytes());
      } catch {
        throw damaged(`token ${id} is not UTF-8`);
      }
    } else if (field === 2 && wire === FLOAT) score = reader.float();
    else if (field === 3 && wire === VARINT) type = reader.int32();
    else return false;
    return true;
  });
  if (!text) throw damaged(`token ${id} has no text`);
  if (!Number.isFinite(score)) throw damaged(`token ${id} has the score ${score}`);
  if (type < 1 || type > 6) throw damaged(`token ${id} is of the kind ${type}`);
  return { text, score, type };
}

/** The numbers and texts among a message's fields; if one is repeated, the last, as in protobuf. */
function readFields(bytes: Uint8Array, fields: Map<number, number | Uint8Array>): void {
  eachField(bytes, (field, type, reader) => {
    if (type === VARINT) fields.set(field, reader.int32());
    else if (type === BYTES) fields.set(field, reader.bytes());
    else return false;
    return true;
  });
}

/** Calls `read` for each field, which returns whether it consumed it; other fields are skipped. */
function eachField(
  bytes: Uint8Array,
  read: (field: number, type: WireType, reader: BinaryReader) => boolean,
): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (!read(field, type, reader)) reader.skip(type, field);
  }
}

function bytesOf(value: number | Uint8Array | undefined): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0);
}

function numberOf(value: number | Uint8Array | undefined): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
