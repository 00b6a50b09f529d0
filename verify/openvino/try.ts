import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openModel, readWeights } from '../../src/checkpoint/load.node.ts';
import { openSafetensors } from '../../src/checkpoint/safetensors/safetensors-file.ts';
import { weightSources } from '../../src/checkpoint/weight-sources.node.ts';
import { FileSource } from '../../src/files/file.node.ts';
import { createDecoder } from '../../src/generation/decoder.node.ts';
import { fullLogits } from '../../src/generation/score.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import { WholeGraphLearner } from '../../src/training/whole-graph-learner.ts';
import { norm, relativeError } from '../../test/helpers/numbers.ts';

const engine = {
  ...nodeEngine({
    provider: process.argv[2]!,
    threads: 2,
    ...(process.env.PRECISION && { precision: process.env.PRECISION as 'bfloat16' }),
  }),
  ...(process.env.DIALECT && { dialect: process.env.DIALECT as 'standard' }),
};
console.log(engine.name, engine.dialect);
for (const name of process.argv.slice(3)) {
  const path = fileURLToPath(new URL(`../../test/reference/${name}`, import.meta.url));
  const opened = await openModel(path);
  const expected = await openSafetensors(await FileSource.open(`${path}/expected.safetensors`));
  const [, seq] = expected.tensors.get('ids')!.shape as [number, number];
  const all = Int32Array.from(await expected.readInts('ids'));
  const ids = all.subarray(0, seq);
  const logits = (await expected.readFloat32('logits')).subarray(0, seq * opened.config.vocab_size);
  try {
    const { weights, folder, close } = await weightSources(opened);
    const settings = folder === undefined ? {} : { weightsFolder: folder };
    for await (const rows of fullLogits(engine, opened.model, weights, ids, settings))
      console.log(name, 'full', relativeError(rows.logits, logits));
    close();
  } catch (e) {
    console.log(name, 'full', String(e).slice(0, 300));
  }
  try {
    const decoder = await createDecoder(opened, { engine });
    const cache = decoder.newCache();
    const cached: number[] = [];
    let start = 0;
    for (const end of [5, 8, ...Array.from({ length: seq - 8 }, (_, i) => i + 9)]) {
      cached.push(...(await decoder.forward(ids.subarray(start, end), cache, 'all')));
      start = end;
    }
    console.log(name, 'cached', relativeError(cached, logits));
    await decoder.release();
  } catch (e) {
    console.log(name, 'cached', String(e).slice(0, 300));
  }
  try {
    const shape = { batch: all.length / seq, seq };
    const session = await WholeGraphLearner.create(engine, opened.model, shape);
    await readWeights(opened, session.values());
    const targets = all.map((_, i) => all[(i + 1) % all.length]!);
    const weight = Float32Array.from(all, (_, i) => (i % seq === seq - 1 ? 0 : 1));
    await session.computeGradients([{ inputs: all, targets, weights: weight }]);
    let wrong = 0;
    let whole = 0;
    for (const { name: parameter, gradient } of session.trainables) {
      const exact = await expected.readFloat32(`grad.${opened.names.get(parameter)}`);
      wrong += norm(exact.map((value, i) => gradient[i]! - value)) ** 2;
      whole += norm(exact) ** 2;
    }
    console.log(name, 'gradients', Math.sqrt(wrong / whole));
    await session.release();
  } catch (e) {
    console.log(name, 'gradients', String(e).slice(0, 300));
  }
}
