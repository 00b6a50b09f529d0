import type { Lowering } from '../tensor.ts';
import { addRmsNormOp } from './add-rms-norm.ts';
import { causalMaskOp, rowsFromOp, writeRowsOp } from './cache-rows.ts';
import { gemmRowsOp } from './gemm-rows.ts';
import { productSumOp } from './product-sum.ts';
import { placeRowsOp, seenKeysOp } from './written-rows.ts';

/** All lowerings by name. */
export const lowerings: ReadonlyMap<string, Lowering> = new Map(
  [
    addRmsNormOp,
    causalMaskOp,
    gemmRowsOp,
    placeRowsOp,
    productSumOp,
    rowsFromOp,
    seenKeysOp,
    writeRowsOp,
  ].map((lowering) => [lowering.name, lowering as Lowering]),
);
