/**
 * A vocabulary of 256,000 whose table is larger than 1 GiB, in one narrow layer, trained on WebGPU within the limits that
 * the adapter reports, beside the CPU: losses within 1e-4, also that of other tokens afterwards; the table within 1e-3 of its norm.
 *
 *     npx esbuild verify/webgpu-large-table.ts --bundle --platform=node --format=esm --target=node20 --packages=external \
 *         --outfile=verify/webgpu-large-table.mjs
 *     node verify/webgpu-large-table.mjs [--steps 1] [--optimizer sgd]
 *
 * In software (SwiftShader) it needs about 9 GB of memory, with AdamW 14 GB, and 15 minutes of the processor. Most of them are taken by
 * transposing the table once for each pass of the head: ONNX Runtime's kernel does it in groups that wait for each other, which a processor is
 * slow at. verify/webgpu-large-table.txt has a recorded run.
 */
import { parseArgs } from 'node:util';
import { initializeWeights } from '../src/families/initialize.ts';
import { modelFromConfig } from '../src/families/registry.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { BlockLearner } from '../src/training/blocks/block-learner.ts';
import { createDeviceOptimizer } from '../src/training/on-device/create-device-optimizer.ts';
import { DeviceLearner } from '../src/training/on-device/device-learner.ts';
import { createOptimizer, type OptimizerKind } from '../src/training/optimizers/create-optimizer.ts';

const { values: flags } = parseArgs({
  options: { steps: { type: 'string', default: '1' }, optimizer: { type: 'string', default: 'sgd' } },
});
const kind = flags.optimizer as OptimizerKind;
const VOCAB = 256_000;
const WIDTH = 1056;
const SHAPE = { batch: 1, seq: 4 };
const { model } = modelFromConfig(
  {
    ...{ model_type: 'llama', architectures: ['LlamaForCausalLM'], vocab_size: VOCAB, hidden_size: WIDTH },
    ...{ intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 8, num_key_value_heads: 2 },
    ...{ head_dim: 16, tie_word_embeddings: true, max_position_embeddings: 64, rms_norm_eps: 1e-5 },
  },
  'this check',
);
const how = { gradients: 'kept', activations: 'kept' } as const;
// An update that is left out is 1 % of the table's norm, or more.
const settings = { learningRate: kind === 'sgd' ? 3 : 1e-3, clip: 1 };
const rows = (step: number) => ({
  inputs: Int32Array.from({ length: SHAPE.seq }, (_, i) => (step * 7919 + i * 50_021) % VOCAB),
  targets: Int32Array.from({ length: SHAPE.seq }, (_, i) => (step * 7919 + (i + 1) * 50_021) % VOCAB),
  weights: new Float32Array(SHAPE.seq).fill(1),
});

const expected = await BlockLearner.create(nodeEngine({ threads: 2 }), model, SHAPE, how);
initializeWeights(model.parameters(), expected.values(), new Random(1));
const engine = nodeEngine({ provider: 'webgpu', threads: 1 });
const limits = await engine.limits?.();
console.log(
  `limits: ${JSON.stringify(limits, (_, value) => (typeof value === 'bigint' ? Number(value) : value))}`,
);
const learner = await DeviceLearner.create(engine, model, SHAPE, how);
await learner.fill((values) => {
  for (const [path, data] of expected.values()) values.get(path)!.set(data);
});
const { memory, parameters, updates } = learner.onDevice;
const optimizer = await createDeviceOptimizer(engine, memory, kind, parameters);
await optimizer.prepare(updates);
const reference = createOptimizer(kind, expected.parameters);
console.log(`${(memory.byteLength / 2 ** 30).toFixed(2)} GiB on the device, in ${parameters.length} weights`);
let isGood = true;
const seconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
let began = seconds();
const taken = () => {
  const last = began;
  began = seconds();
  return `${(began - last).toFixed(0)} s of the processor`;
};
for (let step = 0; step < Number(flags.steps); step++) {
  const batch = [rows(step)];
  const right = await expected.step(batch, { ...settings, optimizer: reference });
  taken();
  const got = await learner.step(batch, { ...settings, optimizer });
  isGood &&= Math.abs(got.loss - right.loss) <= 1e-4;
  console.log(
    `step ${step}: loss ${got.loss} (CPU ${right.loss}), norm ${got.gradientNorm} (${right.gradientNorm}), ${taken()}`,
  );
}
const others = [rows(1000)];
const { loss: right } = await expected.evaluate(others);
taken();
const { loss: got } = await learner.evaluate(others);
isGood &&= Math.abs(got - right) <= 1e-4;
console.log(`other tokens: loss ${got} (CPU ${right}), ${taken()}`);
const trained = await learner.values();
for (const [path, data] of expected.values()) {
  const other = trained.get(path)!;
  let apart = 0;
  let size = 0;
  for (let i = 0; i < data.length; i++) {
    apart += (other[i]! - data[i]!) ** 2;
    size += data[i]! ** 2;
  }
  const share = Math.sqrt(apart / size);
  isGood &&= share <= 1e-3;
  console.log(
    `${path} (${((4 * data.length) / 2 ** 30).toFixed(3)} GiB): ${share.toExponential(1)} of its norm apart`,
  );
}
console.log(isGood ? 'within bounds' : 'outside bounds');
process.exitCode = isGood ? 0 : 1;
