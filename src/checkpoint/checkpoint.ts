import type { QuantizedSource } from '../onnx/weights.ts';

/** A tensor of a checkpoint: what it is, and where its bytes lie. */
export interface StoredTensor {
  /** The format's own name: F32, BF16, Q4_K … */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Path of the file, for messages. */
  readonly file: string;
  /** From the file's start. */
  readonly offset: number;
  readonly byteLength: number;
  /**
   * Whether those bytes are this tensor's numbers, row-major and little-endian, so that the engine may read them in
   * place; not so where a format stores them quantized, permuted or shifted.
   */
  readonly verbatim: boolean;
}

/** Reads single rows of a matrix: the embedding of a token, without holding the table. */
export interface RowReader {
  /** Numbers in a row. */
  readonly width: number;
  readonly rows: number;
  /** Writes row `row` to `target[at … at + width]`. The caller checks that the row exists. */
  read(row: number, target: Float32Array, at: number): void;
  close(): void;
}

/** A matrix in a file, row-major, each row in the same number of bytes. */
export interface RowsInFile {
  /** What is opened. */
  readonly path: string;
  /** What messages call it. */
  readonly name: string;
  /** Of the first row. */
  readonly offset: number;
  readonly rows: number;
  readonly width: number;
  readonly rowBytes: number;
  /** Turns a row's bytes, aligned to 8, into numbers. */
  decode(bytes: Uint8Array, target: Float32Array): void;
}

/** The tensors of a checkpoint under Hugging Face's parameter names and in its layouts, whatever the format. */
export interface TensorReader {
  names(): string[];
  has(name: string): boolean;
  /** RopewalkError where there is none of that name. */
  info(name: string): StoredTensor;
  /** As float32, row-major, whatever it is stored in. */
  readFloat32(name: string): Promise<Float32Array>;
  /** Reads into `target`, which must have exactly its number of elements. */
  readFloat32Into(name: string, target: Float32Array): Promise<void>;
  /** A quantized matrix in its own bits, never as float32; undefined for a tensor that is not quantized. */
  quantizedForm?(name: string): QuantizedSource | undefined;
  /** Rows of a matrix on demand; it holds the file open until it is closed, longer than this reader if need be. */
  openRows(name: string): Promise<RowReader>;
  close(): Promise<void>;
}

/** Hugging Face's tokenizer.json and tokenizer_config.json as parsed JSON. */
export interface TokenizerFiles {
  readonly tokenizer: unknown;
  /** With `chat_template` in it, wherever the checkpoint keeps its template. */
  readonly config: Record<string, unknown>;
  /**
   * Which of the two say more than the files of these names do, since other files add tokens or names of tokens; and whether
   * `config` has all chat templates of a folder that has several.
   */
  readonly changed?: { readonly tokenizer: boolean; readonly config: boolean; readonly templates: boolean };
}

/** A model as it lies in files, in whatever format: seen as a Hugging Face directory. */
export interface Checkpoint {
  /** What messages call it: the folder or the file. */
  readonly path: string;
  /** What messages call the place of its configuration. */
  readonly configName: string;
  /** `config.json`, or what another format's metadata say, in config.json's words. */
  readonly config: Record<string, unknown>;
  /** `generation_config.json`, where there is one. */
  readonly generationConfig?: Record<string, unknown>;
  readonly tensors: TensorReader;
  /** undefined where it has no tokenizer. */
  tokenizerFiles(): Promise<TokenizerFiles | undefined>;
  /** What the files lack or say wrongly, each a sentence: to be shown once. */
  readonly warnings?: readonly string[];
}
