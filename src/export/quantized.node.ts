import type { OpenedModel } from '../checkpoint/load.node.ts';
import { isModelFile } from '../checkpoint/model-files.ts';
import {
  packRows,
  QUANT_METHOD,
  QUANTIZED_KEY,
  type QuantizedEntry,
  quantizedRowBytes,
} from '../checkpoint/safetensors/quantized-rows.ts';
import { tensorBytes } from '../checkpoint/safetensors/writer.ts';
import { saveModelDirectory, type TensorToSave } from '../checkpoint/save.node.ts';
import { RowThreads } from '../checkpoint/threads/row-threads.node.ts';
import { quantizedProducts } from '../checkpoint/weight-sources.node.ts';
import { recoverDirectory } from '../files/atomic.node.ts';
import type { Quantization } from '../onnx/quantize.ts';
import {
  checkTarget,
  commonNotes,
  type ExportProgress,
  type ExportResult,
  exportedConfig,
  exportedGenerationConfig,
  resultOf,
} from './source.node.ts';
import { tokenizerFilesOf } from './tokenizer-files.node.ts';

export interface QuantizedExportOptions {
  readonly quantize: Quantization;
  readonly onProgress?: ExportProgress;
}

/**
 * Saves a model with the weights of its products quantized, as a directory that Ropewalk loads without quantizing
 * again; norms, biases and positions stay float32. One weight at a time is in memory. The folder appears complete or
 * not at all.
 *
 * @throws RopewalkError naming the path, the cause and the remedy
 */
export async function exportQuantized(
  source: OpenedModel,
  path: string,
  { quantize, onProgress = () => {} }: QuantizedExportOptions,
): Promise<ExportResult> {
  await recoverDirectory(path);
  await checkTarget(path, source, isModelFile);
  const threads = new RowThreads();
  const products = quantizedProducts(source, quantize, threads);
  const entries: Record<string, QuantizedEntry> = {};
  const sizes = new Map<string, number>();
  let written = 0;
  const count = (name: string) => {
    written += sizes.get(name)!;
    onProgress(written, total);
  };
  const tensors = [...source.model.parameters()].map(([name, { shape }]): TensorToSave => {
    const product = products.get(name);
    if (!product) {
      sizes.set(name, tensorBytes(shape, 'F32'));
      const data = async () => {
        const values = await source.checkpoint.tensors.readFloat32(source.names.get(name)!);
        count(name);
        return values;
      };
      return { name, shape, data };
    }
    const { rows, columns, bits, block, transposed, hasZeroPoints: zeroPoints = false } = product;
    entries[name] = {
      ...{ columns, bits, block: block as QuantizedEntry['block'], zeroPoints },
      ...(transposed && { transposed }),
    };
    const rowBytes = quantizedRowBytes(product, zeroPoints);
    sizes.set(name, rows * rowBytes);
    const bytes = async () => {
      const packed = packRows(await product.read());
      count(name);
      return packed;
    };
    return { name, shape: [rows, rowBytes], bytes };
  });
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const files = await tokenizerFilesOf(source);
  const quantization_config = { quant_method: QUANT_METHOD, ...quantize };
  try {
    await saveModelDirectory(path, {
      config: { ...exportedConfig(source), quantization_config },
      generationConfig: exportedGenerationConfig(source),
      tensors,
      files,
      metadata: { [QUANTIZED_KEY]: JSON.stringify(entries) },
    });
  } finally {
    threads.close();
  }
  const notes = ['only Ropewalk reads this format; export the original for other programs.'];
  return resultOf(path, source, [...notes, ...commonNotes(source, files)]);
}
