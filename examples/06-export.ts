/*
 * Exports a model to Hugging Face, ONNX and GGUF.
 *
 *     node examples/06-export.ts runs/tiny exported      (Node 22.18 or newer)
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { exportGguf, exportHuggingFace, exportOnnx, openModel } from 'ropewalk';

export async function exportAll(path: string, out: string): Promise<void> {
  mkdirSync(out, { recursive: true });
  const model = await openModel(path);
  try {
    await exportHuggingFace(model, join(out, 'hf'), { dtype: 'bfloat16' });
    await exportOnnx(model, join(out, 'onnx'));
    await exportGguf(model, join(out, 'model.gguf'), { type: 'q8_0' });
  } finally {
    await model.checkpoint.tensors.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [path, out = 'exported'] = process.argv.slice(2);
  if (!path) throw new Error('usage: 06-export.ts <model> [out]');
  await exportAll(path, out);
}
