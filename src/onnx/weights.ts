/**
 * A matrix in few bits, the way the engine's MatMulNBits reads it: every row is cut into blocks, and a number is
 * scale · (q − zero point), with the scale and the zero point of its block.
 */
export interface QuantizedMatrix {
  /** Output features: the rows of Hugging Face's `[out, in]`. */
  readonly rows: number;
  /** Input features; a multiple of `block`. */
  readonly columns: number;
  readonly bits: 4 | 8;
  /** Numbers that share a scale: 16, 32, 64, 128 or 256. */
  readonly block: number;
  /** `[rows, columns / block, block · bits / 8]`, unsigned; of two 4-bit numbers in a byte the first is the low half. */
  readonly data: Uint8Array;
  /** `[rows, columns / block]` */
  readonly scales: Float32Array;
  /**
   * `[rows, columns / block]`, real numbers added to every number of a block after scaling: the "minimum" of Q4_1,
   * where no whole zero point would give it. Absent, the zero point is 2^(bits − 1) and nothing is added.
   */
  readonly offsets?: Float32Array;
}
