/**
 * Saves every reference case again with Ropewalk, for verify/roundtrip.py to load in transformers:
 *
 *     node scripts/run-ts.js verify/roundtrip.ts OUT
 *     python verify/roundtrip.py OUT
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openModel } from '../src/checkpoint/load.node.ts';
import { saveModelDirectory } from '../src/checkpoint/save.node.ts';

const out = process.argv[2];
if (!out) throw new Error('usage: node scripts/run-ts.js verify/roundtrip.ts OUT');
const reference = fileURLToPath(new URL('../test/reference/', import.meta.url));
mkdirSync(out, { recursive: true });
for (const name of readdirSync(reference)) {
  if (!existsSync(`${reference}${name}/expected.safetensors`)) continue;
  const { family, config, model, checkpoint, names } = await openModel(`${reference}${name}`);
  const tensors = await Promise.all(
    [...model.parameters()].map(async ([path, { shape }]) => {
      return { name: path, shape, data: await checkpoint.tensors.readFloat32(names.get(path)!) };
    }),
  );
  await saveModelDirectory(`${out}/${name}`, { config: family.writeConfig(config), tensors });
  await checkpoint.tensors.close();
  console.log(`${out}/${name}`);
}
