/**
 * OpenVINO's CPU device beside the CPU's kernels: reference cases, quantized weights, which nodes it runs, bfloat16, and
 * training steps of SmolLM2-135M's shape (random weights), interleaved in one process.
 *
 *     node scripts/run-ts.js verify/openvino.ts [--device openvino] [--rows 4x256] [--layers 30] [--steps 4]
 *         [--without steps|cases]
 *
 * Needs a provider library, as docs/devices.md says. `verify/openvino.txt` has the recorded results.
 */
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { smol } from '../bench/inference/shapes.ts';
import { batchIds } from '../bench/training/cases.ts';
import { namedOptimizer } from '../bench/training/optimizers.ts';
import { RopewalkError } from '../src/errors.ts';
import { initializeWeights } from '../src/families/initialize.ts';
import { llama } from '../src/families/llama.ts';
import { Random } from '../src/random.ts';
import type { Precision } from '../src/runtime/devices.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import type { Engine } from '../src/runtime/engine.ts';
import { createLearner } from '../src/training/create-learner.ts';
import { quantizedErrors, referenceErrors } from '../test/helpers/reference-errors.node.ts';

const { values: flags } = parseArgs({
  options: {
    device: { type: 'string', default: 'openvino' },
    rows: { type: 'string', default: '4x256' },
    layers: { type: 'string', default: '30' },
    steps: { type: 'string', default: '4' },
    without: { type: 'string', multiple: true, default: [] },
  },
});
const threads = 2;
const say = (line: string) => process.stdout.write(`${line}\n`);
const state = () => `load ${loadavg()[0]!.toFixed(1)}`;

/** Which provider ran how many nodes of all sessions of an engine. */
const nodes = { own: 0, cpu: new Map<string, number>(), sessions: 0 };

/** The engine, counting the nodes of the sessions that it creates. */
function counting(engine: Engine): Engine {
  const { InferenceSession, Tensor } = engine.runtime;
  return {
    ...engine,
    defaults: { ...engine.defaults, recordsNodes: true },
    runtime: {
      Tensor,
      InferenceSession: {
        async create(...args) {
          const session = await InferenceSession.create(...args);
          nodes.sessions++;
          for (const [provider, counts] of Object.entries(session.assignedNodes!())) {
            for (const [operator, count] of Object.entries(counts)) {
              if (provider === 'CPUExecutionProvider')
                nodes.cpu.set(operator, (nodes.cpu.get(operator) ?? 0) + count);
              else nodes.own += count;
            }
          }
          return session;
        },
      },
    },
  };
}

const on = (precision: Precision) => nodeEngine({ provider: flags.device, precision, threads });
const device = counting(on('float32'));
say(
  `${cpus()[0]!.model}, ${availableParallelism()} processors, ${threads} threads, Node ${process.versions.node}, ${state()}`,
);
say(device.name);

let bfloat16: Engine | undefined;
try {
  bfloat16 = on('bfloat16');
  say('bfloat16: listed among the capabilities');
} catch (error) {
  if (!(error instanceof RopewalkError)) throw error;
  say(`bfloat16: refused: ${error.message}`);
}

if (!flags.without.includes('cases')) await cases();
if (!flags.without.includes('steps')) await steps();
const left = [...nodes.cpu].map(([operator, count]) => `${operator} ${count}`).join(', ');
say(
  `\nnodes in ${nodes.sessions} float32 sessions: ${nodes.own} on the device, ${left || 'none'} on the CPU`,
);
process.exit(0);

/** Logits as transformers gives them, gradients as PyTorch does in float64. */
async function cases(): Promise<void> {
  const folder = fileURLToPath(new URL('../test/reference/', import.meta.url));
  const names = readdirSync(folder).filter((name) => existsSync(`${folder}${name}/expected.safetensors`));
  const worst = { full: 0, cached: 0, gradients: 0 };
  const line = (name: string, { full, cached, gradients }: typeof worst) =>
    say(
      `${name.padEnd(22)}${[full, cached, gradients].map((error) => error.toExponential(1).padEnd(15)).join('')}`,
    );
  say('\nfloat32, as shares of the largest value');
  say(
    `${'case'.padEnd(22)}${['logits', 'with a cache', 'gradients'].map((title) => title.padEnd(15)).join('')}`,
  );
  for (const name of names) {
    const errors = await referenceErrors(device, `${folder}${name}`);
    line(name, errors);
    for (const key of ['full', 'cached', 'gradients'] as const)
      worst[key] = Math.max(worst[key], errors[key]);
  }
  line('worst', worst);
  const { int8, int4 } = await quantizedErrors(device, `${folder}llama`);
  say(
    `quantized weights, against dequantized ones: int8 ${int8.toExponential(1)}, int4 ${int4.toExponential(1)}`,
  );
  if (!bfloat16) return;
  say('\nbfloat16');
  for (const name of ['gpt2', 'gemma2', 'llama'])
    line(name, await referenceErrors(bfloat16, `${folder}${name}`));
}

/** Steps in turns; the first is left out of the medians. */
async function steps(): Promise<void> {
  const [batch, seq] = flags.rows.split('x').map(Number) as [number, number];
  const config = {
    ...smol,
    ...{
      bos_token_id: 1,
      eos_token_id: [2],
      initializer_range: 0.04,
      num_hidden_layers: Number(flags.layers),
    },
  };
  say(`\nSmolLM2-135M's shape, ${flags.layers} layers, ${batch} x ${seq} tokens, AdamW, memory fast`);
  const engines = {
    'cpu float32': nodeEngine({ threads }),
    'device float32': device,
    ...(bfloat16 && { 'device bfloat16': bfloat16 }),
  };
  const learners = [];
  for (const [name, engine] of Object.entries(engines)) {
    const model = llama.build(config);
    const started = performance.now();
    const learner = await createLearner(engine, model, { batch, seq });
    say(`${name}: compiled in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    await learner.fill((values) => initializeWeights(model.parameters(), values, new Random(0)));
    const seconds: { wall: number; processor: number }[] = [];
    learners.push({ name, learner, optimizer: namedOptimizer(learner, 'adamw:float32'), seconds });
  }
  for (let count = 0; count <= Number(flags.steps); count++) {
    const ids = batchIds(count, { batch, seq }, config.vocab_size);
    const [inputs, targets] = [0, 1].map((shift) =>
      Int32Array.from(
        { length: batch * seq },
        (_, i) => ids[Math.floor(i / seq) * (seq + 1) + (i % seq) + shift]!,
      ),
    ) as [Int32Array, Int32Array];
    const line = [];
    for (const { name, learner, optimizer, seconds } of learners) {
      const [started, before] = [performance.now(), process.cpuUsage()];
      const { loss } = await learner.step([{ inputs, targets }], { optimizer, learningRate: 1e-4, clip: 1 });
      const { user, system } = process.cpuUsage(before);
      const each = { wall: (performance.now() - started) / 1000, processor: (user + system) / 1e6 };
      if (count > 0) seconds.push(each);
      line.push(
        `${name} ${loss.toFixed(6)} (${each.wall.toFixed(2)} s, processor ${each.processor.toFixed(2)} s)`,
      );
    }
    say(`${count}: ${line.join('; ')}; ${state()}`);
  }
  const median = (values: readonly number[]) =>
    values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
  for (const { name, seconds } of learners) {
    const wall = median(seconds.map((each) => each.wall));
    const processor = median(seconds.map((each) => each.processor));
    say(
      `${name}: median ${wall.toFixed(2)} s a step, ${processor.toFixed(2)} s of the processor, ${Math.round((batch * seq) / wall)} tokens/s`,
    );
  }
}
