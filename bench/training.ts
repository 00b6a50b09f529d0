/**
 * Training speed in one run, interleaved: the bare matrix products of the step through the same engine (the limit),
 * Ropewalk's whole step (forward, backward, AdamW), and PyTorch's, where a Python with PyTorch is given.
 *
 *     npm run bench -- [--python path/to/python] [--rounds 8] [--shape small|tiny] [--skip-decode]
 *
 * Benchmarks on shared machines swing: every round times each contender once, and the table gives the best and the
 * median of the rounds, with the machine's load beside them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { CausalLM } from '../src/families/family.ts';
import { initializeWeights } from '../src/families/initialize.ts';
import { type LlamaConfig, llama } from '../src/families/llama.ts';
import { families } from '../src/families/registry.ts';
import { Decoder } from '../src/generation/decoder.ts';
import { input, matmulFlops, slice } from '../src/graph/operators/index.ts';
import { simplify } from '../src/graph/simplify.ts';
import { apply, type Tensor } from '../src/graph/tensor.ts';
import { topologicalOrder } from '../src/graph/traverse.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { Executable, type HostTensor } from '../src/runtime/executable.ts';
import { Random } from '../src/text/random.ts';
import { trainingGraph } from '../src/training/graph.ts';
import { AdamW } from '../src/training/optimizer.ts';
import { TrainingSession } from '../src/training/session.ts';

const { values: flags } = parseArgs({
  options: {
    python: { type: 'string', default: process.env.ROPEWALK_PYTHON ?? '' },
    rounds: { type: 'string', default: '8' },
    threads: { type: 'string', default: '2' },
    'skip-decode': { type: 'boolean', default: false },
  },
});
const rounds = Number(flags.rounds);
const threads = Number(flags.threads);
const engine = nodeEngine({ threads });

/** The Llama of the design notes: 30.7M parameters. */
const config: LlamaConfig = {
  ...llama.presets.tiny!.config,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 6,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  head_dim: 64,
  vocab_size: 8192,
  tie_word_embeddings: false,
};
const shape = { batch: 4, seq: 256 };

function random(size: number): Float32Array {
  const source = new Random(size);
  return Float32Array.from({ length: size }, () => source.next() - 0.5);
}

/**
 * Every matrix product of a graph as it stands there, in one session with nothing else: one, because each session has a
 * pool of threads that spin for a while after a run, and many pools would be in each other's way.
 */
async function bareProducts(model: CausalLM) {
  const roots = simplify([...trainingGraph(model, shape).values()].flatMap(denseParts), 'onnxruntime');
  const outputs = new Map<string, Tensor>();
  const feeds: Record<string, HostTensor> = {};
  const arrays = new Map<number, Float32Array>();
  let flops = 0;
  for (const node of topologicalOrder(roots)) {
    if (node.operator.name !== 'matmul') continue;
    flops += matmulFlops(node) as number;
    // Own inputs for each product, or the engine would compute equal ones once.
    const inputs = node.inputs.map((x, i) => {
      const size = (x.shape as number[]).reduce((a, b) => a * b, 1);
      if (!arrays.has(size)) arrays.set(size, random(size));
      const name = `x${outputs.size}_${i}`;
      feeds[name] = { data: arrays.get(size)!, shape: x.shape as number[] };
      return input(name, 'float32', x.shape);
    });
    let result = apply(node.operator, inputs, node.attributes)[0]!;
    // One number of each result leaves the engine: what it costs to hand results out is not part of the limit.
    for (let axis = 0; axis < result.rank; axis++) result = slice(result, axis, 0, 1);
    outputs.set(`y${outputs.size}`, result);
  }
  const executable = await Executable.compile(engine, outputs);
  return { run: () => executable.run(feeds), release: () => executable.release(), flops };
}

/** A scattered gradient is rows added on the host: only what the engine computes counts. */
function denseParts(tensor: Tensor): Tensor[] {
  const { operator, inputs } = tensor.node;
  if (operator.name === 'scatterRows') return [inputs[1]!];
  return operator.name === 'add' ? inputs.flatMap(denseParts) : [tensor];
}

async function ourStep(model: CausalLM) {
  const session = await TrainingSession.create(engine, model, shape);
  initializeWeights(model.parameters(), session.values(), new Random(0));
  const optimizer = new AdamW(session.trainables, { weightDecay: 0.1 });
  const source = new Random(1);
  const rows = shape.batch * shape.seq;
  const ids = () => Int32Array.from({ length: rows }, () => source.nextInt(model.config.vocab_size));
  const step = async () => {
    const { loss } = await session.computeGradients([{ inputs: ids(), targets: ids() }]);
    optimizer.step(session.trainables, { learningRate: 1e-4 });
    return loss;
  };
  return { step, release: () => session.release() };
}

class PyTorch {
  private readonly lines: AsyncIterator<string>;

  private constructor(
    private readonly child: ChildProcess,
    readonly label: string,
  ) {
    this.lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  }

  static async start(python: string, label: string, args: string[]): Promise<PyTorch> {
    const script = fileURLToPath(new URL('./rivals/pytorch_train.py', import.meta.url));
    const child = spawn(python, [script, '--threads', String(threads), ...args], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, OMP_NUM_THREADS: String(threads) },
    });
    const rival = new PyTorch(child, label);
    await rival.read();
    return rival;
  }

  async step(): Promise<number> {
    this.child.stdin!.write('step\n');
    return ((await this.read()) as { seconds: number }).seconds;
  }

  quit(): void {
    this.child.stdin!.write('quit\n');
  }

  private async read(): Promise<unknown> {
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`${this.label} ended`);
    return JSON.parse(value);
  }
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

async function benchTraining(): Promise<void> {
  const model = llama.build(config);
  const bare = await bareProducts(model);
  const { flops } = bare;
  const { step, release } = await ourStep(llama.build(config));
  const rivals: PyTorch[] = [];
  if (flags.python) {
    rivals.push(await PyTorch.start(flags.python, 'PyTorch sdpa, fused AdamW', []));
    rivals.push(
      await PyTorch.start(flags.python, 'PyTorch eager, foreach AdamW', [
        '--attn',
        'eager',
        '--optimizer',
        'foreach',
      ]),
    );
    rivals.push(await PyTorch.start(flags.python, 'PyTorch compiled, sdpa', ['--compile']));
  }
  for (let i = 0; i < 5; i++) await step();
  for (let i = 0; i < 3; i++) await bare.run();
  const times = new Map<string, number[]>();
  const record = (name: string, value: number) => times.set(name, [...(times.get(name) ?? []), value]);
  for (let round = 0; round < rounds; round++) {
    record('bare products', await seconds(bare.run));
    record('Ropewalk step', await seconds(step));
    for (const rival of rivals) record(rival.label, await rival.step());
    record('Ropewalk step', await seconds(step));
    record('bare products', await seconds(bare.run));
    process.stderr.write(`round ${round + 1}/${rounds}, load ${loadavg()[0]!.toFixed(2)}\n`);
  }
  for (const rival of rivals) rival.quit();
  await bare.release();
  await release();
  const tokens = shape.batch * shape.seq;
  console.log(
    `\n30.7M-parameter Llama, ${shape.batch} × ${shape.seq} tokens, ${(flops / 1e9).toFixed(1)} GFLOP of products a step, ${threads} threads, ${cpus()[0]!.model}`,
  );
  const ours = times.get('Ropewalk step')!;
  for (const [name, values] of times) {
    const best = Math.min(...values);
    const rate = (value: number) => (flops / value / 1e9).toFixed(0).padStart(4);
    console.log(
      `${name.padEnd(30)} best ${best.toFixed(3)} s ${rate(best)} GFLOP/s ${(tokens / best).toFixed(0).padStart(5)} tokens/s   median ${median(values).toFixed(3)} s ${rate(median(values))} GFLOP/s`,
    );
  }
  for (const [name, values] of times) {
    if (name === 'Ropewalk step') continue;
    console.log(
      `Ropewalk's speed as a share of ${name}: best ${(Math.min(...values) / Math.min(...ours)).toFixed(3)}, median ${(median(values) / median(ours)).toFixed(3)}`,
    );
  }
}

async function benchDecode(): Promise<void> {
  const tiny = {
    ...config,
    hidden_size: 64,
    intermediate_size: 172,
    num_hidden_layers: 30,
    num_attention_heads: 4,
  };
  const model = llama.build({
    ...tiny,
    num_key_value_heads: 2,
    head_dim: 16,
    vocab_size: 1024,
    max_position_embeddings: 4096,
  });
  const values = new Map([...model.parameters()].map(([path, { size }]) => [path, new Float32Array(size)]));
  initializeWeights(model.parameters(), values, new Random(0));
  const weights = new Map([...values].map(([path, data]) => [path, { data }]));
  const contenders = await Promise.all(
    [1, threads].map(async (count) => {
      return {
        count,
        decoder: await Decoder.create(nodeEngine({ threads: count }), model, weights),
        samples: [] as number[],
      };
    }),
  );
  const warmUp = 4;
  for (let round = 0; round < warmUp + 20; round++) {
    for (const { decoder, samples } of contenders) {
      const cache = decoder.newCache();
      await decoder.forward(
        Int32Array.from({ length: 118 }, (_, i) => (i * 7) % 1024),
        cache,
      );
      const time = await seconds(async () => {
        for (let i = 0; i < 20; i++) await decoder.forward([i], cache);
      });
      if (round >= warmUp) samples.push((time / 20) * 1000);
    }
  }
  for (const { count, decoder, samples } of contenders) {
    await decoder.release();
    console.log(
      `decode, 30 layers of width 64, context 118…138, ${count} thread${count > 1 ? 's' : ''}: best ${Math.min(...samples).toFixed(2)} ms, median ${median(samples).toFixed(2)} ms a token`,
    );
  }
}

console.log(
  `families: ${families.map(({ name }) => name).join(', ')}; load ${loadavg()
    .map((x) => x.toFixed(2))
    .join(' ')}`,
);
if (!flags['skip-decode']) await benchDecode();
await benchTraining();
