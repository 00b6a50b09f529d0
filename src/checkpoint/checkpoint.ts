import type { ByteSource, FileStamp } from '../files/source.ts';
import type { QuantizedArrays, QuantizedShape, QuantizedSource } from '../onnx/weights.ts';
import type { QuantizedGgmlType } from './gguf/reading/blocks.ts';

/** A tensor of a checkpoint: its type, shape and location. */
export interface StoredTensor {
  /** The format's name of the type: F32, BF16, Q4_K … */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Path of the file, for messages. */
  readonly file: string;
  /** From the file's start. */
  readonly offset: number;
  readonly byteLength: number;
  /**
   * Whether the bytes are this tensor's values, row-major and little-endian, so that the engine may read them in
   * place; false if the format stores them quantized, permuted or offset.
   */
  readonly verbatim: boolean;
}

/** Reads single rows of a matrix: the embedding of a token, without loading the table. */
export interface RowReader {
  /** Values per row. */
  readonly width: number;
  readonly rows: number;
  /** Writes row `row` to `target[at … at + width]`. The caller checks that the row exists. */
  read(row: number, target: Float32Array, at: number): void;
  close(): void;
}

/** A matrix in a file, row-major, with the same number of bytes per row. */
export interface RowsInFile {
  /** The file to open. */
  readonly path: string;
  /** Its name in messages. */
  readonly name: string;
  /** Offset of the first row. */
  readonly offset: number;
  readonly rows: number;
  readonly width: number;
  readonly rowBytes: number;
  /** Decodes a row's bytes, aligned to 8, to float32. */
  decode(bytes: Uint8Array, target: Float32Array): void;
}

/** A matrix in an open file, row by row, for threads that read it. */
export interface StoredRows {
  readonly source: ByteSource;
  /** Offset of the first row. */
  readonly offset: number;
  readonly type: 'F32' | 'F16' | 'BF16' | QuantizedGgmlType;
  /** Output features of a product. */
  readonly rows: number;
  /** Input features. */
  readonly columns: number;
  /** The row of the matrix that each stored row is; by default the same. */
  readonly places?: Uint32Array | undefined;
}

/** Threads that unpack the rows of a quantized matrix. */
export interface RowUnpacker {
  /** Fills `into` with the stored codes, or does nothing. @returns whether it did */
  unpack(stored: StoredRows, shape: QuantizedShape, into: QuantizedArrays): Promise<boolean>;
}

/** The tensors of a checkpoint under Hugging Face's parameter names and in its layouts, whatever the format. */
export interface TensorReader {
  names(): string[];
  has(name: string): boolean;
  /** Throws a RopewalkError if there is no tensor of that name. */
  info(name: string): StoredTensor;
  /** As float32, row-major, whatever the stored type. */
  readFloat32(name: string): Promise<Float32Array>;
  /** Reads into `target`, which must have exactly its number of elements. */
  readFloat32Into(name: string, target: Float32Array): Promise<void>;
  /** Elements of a tensor from `start` on, row-major, as float32. Other files than safetensors read all of it. */
  readFloat32Part(name: string, start: number, target: Float32Array): Promise<void>;
  /**
   * A quantized matrix in its own precision, never as float32; undefined for a tensor that is not quantized.
   * @param threads to read it; by default the caller's
   */
  quantizedForm?(name: string, threads?: RowUnpacker): QuantizedSource | undefined;
  /** The rows of a product's matrix, output by output, if they are in a file as they are. */
  storedRows?(name: string): StoredRows | undefined;
  /** Stamps of the files with the tensors, in a fixed order; undefined if one is not a file or has changed since. */
  stamps?(): Promise<FileStamp[] | undefined>;
  /** Rows of a matrix on demand; keeps the file open until it is closed, even longer than this reader. */
  openRows(name: string): Promise<RowReader>;
  close(): Promise<void>;
}

/** Hugging Face's tokenizer.json and tokenizer_config.json as parsed JSON. */
export interface TokenizerFiles {
  readonly tokenizer: unknown;
  /** Including `chat_template`, wherever the checkpoint keeps its template. */
  readonly config: Record<string, unknown>;
  /**
   * Which of the two differ from the files of these names, because other files add tokens or names of tokens, or
   * because `config` includes all chat templates of a folder with several.
   */
  readonly changed?: { readonly tokenizer: boolean; readonly config: boolean; readonly templates: boolean };
}

/** A stored model in any format, presented as a Hugging Face directory. */
export interface Checkpoint {
  /** Its name in messages: the folder or the file. */
  readonly path: string;
  /** The location of its configuration, for messages. */
  readonly configName: string;
  /** `config.json`, or another format's metadata converted to it. */
  readonly config: Record<string, unknown>;
  /** `generation_config.json`, if there is one. */
  readonly generationConfig?: Record<string, unknown>;
  readonly tensors: TensorReader;
  /** Undefined if it has no tokenizer. */
  tokenizerFiles(): Promise<TokenizerFiles | undefined>;
  /** What the files lack or state wrongly, each a sentence: to be shown once. */
  readonly warnings?: readonly string[];
}
