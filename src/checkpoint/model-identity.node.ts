import { createHash } from 'node:crypto';
import type { OpenedModel } from './load.node.ts';

/**
 * SHA-256 of a model's configuration and of some of its weights: norms and biases, and the beginning of the embedding,
 * which are small and differ in any two trained models.
 */
export async function modelIdentity({ model, names, checkpoint }: OpenedModel): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(checkpoint.config));
  const { tensors } = checkpoint;
  for (const [path, { shape }] of model.parameters()) {
    const name = names.get(path)!;
    if (shape.length === 1) hash.update(bytesOf(await tensors.readFloat32(name)));
  }
  const rows = await tensors.openRows(names.get(model.head.weight.path)!);
  const some = new Float32Array(Math.min(64, rows.rows) * rows.width);
  for (let row = 0; row * rows.width < some.length; row++) rows.read(row, some, row * rows.width);
  rows.close();
  return hash.update(bytesOf(some)).digest('hex');
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
