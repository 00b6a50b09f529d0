/**
 * Ropewalk as a contender in bench/training.ts: trains a model directory step by step on request, or runs the bare
 * matrix products of a step. The last argument is JSON: {model, batch, seq, mode, threads}, where mode is a memory
 * mode or `products`.
 */
import { createInterface } from 'node:readline';
import { openModel, readWeights } from '../../src/checkpoint/load.node.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import { createLearner, type MemoryMode } from '../../src/training/create-learner.ts';
import { batchIds } from './cases.ts';
import { namedOptimizer } from './optimizers.ts';
import { bareProducts } from './products.ts';

interface Settings {
  readonly model: string;
  readonly batch: number;
  readonly seq: number;
  readonly mode: MemoryMode | 'products';
  readonly threads: number;
}

const settings = JSON.parse(process.argv.at(-1)!) as Settings;
const { batch, seq, mode, threads } = settings;
const engine = nodeEngine({ threads });
const opened = await openModel(settings.model);
const say = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
const { about, flops, step } = mode === 'products' ? await products() : await training(mode);
await opened.checkpoint.tensors.close();
say({ ready: true, about, flops });
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() !== 'step') break;
  say(await step());
}
process.exit(0);

async function products() {
  const { run, flops } = await bareProducts(engine, opened.model, { batch, seq });
  const step = async () => {
    const started = performance.now();
    await run();
    return { seconds: (performance.now() - started) / 1000 };
  };
  return { about: engine.name, flops, step };
}

async function training(memory: MemoryMode) {
  const session = await createLearner(engine, opened.model, { batch, seq }, { memory });
  await session.fill((values) => readWeights(opened, values));
  const optimizer = namedOptimizer(session, 'adamw:float32');
  let count = 0;
  const step = async () => {
    const ids = batchIds(count++, { batch, seq }, opened.model.config.vocab_size);
    const [inputs, targets] = [0, 1].map((shift) => {
      const part = new Int32Array(batch * seq);
      for (let row = 0; row < batch; row++) {
        const start = row * (seq + 1) + shift;
        part.set(ids.subarray(start, start + seq), row * seq);
      }
      return part;
    }) as [Int32Array, Int32Array];
    optimizer.seconds = 0;
    const started = performance.now();
    const { loss } = await session.step([{ inputs, targets }], {
      optimizer,
      learningRate: 1e-4,
      clip: 0,
    });
    return {
      seconds: (performance.now() - started) / 1000,
      loss,
      optimizerSeconds: optimizer.seconds,
    };
  };
  return { about: engine.name, flops: undefined, step };
}
