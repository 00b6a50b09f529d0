import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { smol } from '../../bench/inference/shapes.ts';
import { batchIds } from '../../bench/training/cases.ts';
import { namedOptimizer } from '../../bench/training/optimizers.ts';
import { initializeWeights } from '../../src/families/initialize.ts';
import { llama } from '../../src/families/llama.ts';
import { Random } from '../../src/random.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { createLearner } from '../../src/training/create-learner.ts';

const { values: flags } = parseArgs({
  options: {
    layers: { type: 'string', default: '4' },
    rows: { type: 'string', default: '2x256' },
    steps: { type: 'string', default: '3' },
    vocab: { type: 'string', default: '49152' },
    device: { type: 'string' },
    dialects: { type: 'string', default: 'onnxruntime,openvino' },
    precision: { type: 'string' },
  },
});
const [batch, seq] = flags.rows.split('x').map(Number) as [number, number];
const config = {
  ...smol,
  bos_token_id: 1,
  eos_token_id: [2],
  initializer_range: 0.04,
  num_hidden_layers: Number(flags.layers),
  vocab_size: Number(flags.vocab),
};
const engines: [string, Engine][] = [['cpu', nodeEngine({ threads: 2 })]];
for (const dialect of flags.dialects.split(','))
  engines.push([
    dialect,
    { ...nodeEngine({ provider: flags.device!, threads: 2 }), dialect: dialect as 'openvino' },
  ]);
if (flags.precision)
  engines.push([
    flags.precision,
    {
      ...nodeEngine({ provider: flags.device!, threads: 2, precision: flags.precision as 'bfloat16' }),
      dialect: 'openvino',
    },
  ]);
const learners = [];
for (const [name, engine] of engines) {
  const model = llama.build(config as never);
  const t = performance.now();
  const learner = await createLearner(engine, model, { batch, seq }, { memory: 'fast' });
  console.log(name, 'compiled', ((performance.now() - t) / 1000).toFixed(2));
  initializeWeights(model.parameters(), learner.values(), new Random(0));
  learners.push({ name, learner, optimizer: namedOptimizer(learner, 'adamw:float32') });
}
for (let count = 0; count < Number(flags.steps); count++) {
  const line = [];
  for (const { name, learner, optimizer } of learners) {
    const ids = batchIds(count, { batch, seq }, config.vocab_size);
    const [inputs, targets] = [0, 1].map((shift) => {
      const part = new Int32Array(batch * seq);
      for (let row = 0; row < batch; row++) {
        const start = row * (seq + 1) + shift;
        part.set(ids.subarray(start, start + seq), row * seq);
      }
      return part;
    }) as [Int32Array, Int32Array];
    optimizer.seconds = 0;
    const c = process.cpuUsage();
    const t = performance.now();
    const { loss } = await learner.step([{ inputs, targets }], { optimizer, learningRate: 1e-4, clip: 0 });
    const u = process.cpuUsage(c);
    line.push(
      `${name} ${((performance.now() - t) / 1000).toFixed(2)}s cpu ${((u.user + u.system) / 1e6).toFixed(2)} opt ${optimizer.seconds.toFixed(2)} loss ${loss.toFixed(6)}`,
    );
  }
  console.log(line.join(' | '), 'load', loadavg()[0]!.toFixed(1));
}
process.exit(0);
