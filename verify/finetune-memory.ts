/**
 * The memory of full fine-tuning, as reported by the operating system (Linux): the peak of the process and its
 * descendants over a few whole steps, for each memory mode and optimizer.
 *
 *     node scripts/run-ts.js verify/finetune-memory.ts MODEL [--rows 1x512] [--steps 3] [--modes fast,recompute,light]
 *         [--optimizers adamw:float32,adamw:int8,adafactor:float32] [--at-least 0] [--out finetune-memory.txt]
 *
 * MODEL is a model directory, a GGUF file or the name of a preset (such as gemma-2-2b), which gets random weights.
 * Every combination runs in a separate process. `--at-least GB` refuses to start below that much available memory.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { availableMemory, memoryOf, processTree } from '../bench/process-tree.ts';
import { namedOptimizer } from '../bench/training/optimizers.ts';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import type { CausalLM } from '../src/families/family.ts';
import { findPreset } from '../src/families/registry.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { createLearner, type MemoryMode } from '../src/training/create-learner.ts';

interface Job {
  readonly model: string;
  readonly batch: number;
  readonly seq: number;
  readonly steps: number;
  readonly mode: MemoryMode;
  /** Such as adamw:int8. */
  readonly optimizer: string;
}

/** A line of output from a job's process. */
type Word =
  | { readonly parameters: number }
  | { readonly step: number; readonly seconds: number; readonly loss: number }
  | { readonly error: string };

const { positionals, values: flags } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '1x512' },
    steps: { type: 'string', default: '3' },
    modes: { type: 'string', default: 'fast,recompute,light' },
    optimizers: { type: 'string', default: 'adamw:float32' },
    'at-least': { type: 'string', default: '0' },
    out: { type: 'string' },
    job: { type: 'string' },
  },
});
if (flags.job !== undefined) await train(JSON.parse(flags.job) as Job);
else await measureAll();

async function measureAll(): Promise<void> {
  const [model] = positionals;
  if (!model) throw new Error('usage: verify/finetune-memory.ts MODEL [options]');
  const [batch, seq] = flags.rows.split('x').map(Number) as [number, number];
  const free = availableMemory() / 1e9;
  if (free < Number(flags['at-least'])) {
    throw new Error(
      `${free.toFixed(1)} GB of memory are available, but ${flags['at-least']} GB are asked for`,
    );
  }
  const load = loadavg()[0]!.toFixed(2);
  print(
    `\n${model}, ${flags.rows} tokens, ${flags.steps} steps; ${free.toFixed(1)} GB available, load average ${load}`,
  );
  print(
    'mode        optimizer             peak GB   bytes a parameter   beyond 1 GB   seconds a step   losses',
  );
  for (const mode of flags.modes.split(',') as MemoryMode[]) {
    for (const optimizer of flags.optimizers.split(',')) {
      const job = { model, batch, seq, steps: Number(flags.steps), mode, optimizer };
      const { parameters, peak, seconds, losses, error } = await measure(job);
      const per = (bytes: number) => (bytes / parameters).toFixed(2);
      const cells = [
        mode.padEnd(11),
        optimizer.padEnd(20),
        (peak / 1e9).toFixed(3).padStart(8),
        per(peak).padStart(19),
        per(Math.max(0, peak - 1e9)).padStart(13),
        `${seconds.map((time) => time.toFixed(2)).join(' ')}`.padStart(16),
        `  ${losses.map((loss) => loss.toFixed(4)).join(' ')}`,
      ];
      print(`${cells.join(' ')}${error === undefined ? '' : `  ${error}`}`);
    }
  }
}

async function measure(job: Job) {
  const child = spawn(process.execPath, [process.argv[1]!, '--job', JSON.stringify(job)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let peak = 0;
  const sample = () => {
    const resident = processTree(child.pid!).reduce((sum, pid) => sum + memoryOf(pid, 'VmRSS'), 0);
    peak = Math.max(peak, resident, memoryOf(child.pid!, 'VmHWM'));
  };
  const timer = setInterval(sample, 50);
  const result = { parameters: Number.NaN, peak: 0, seconds: [] as number[], losses: [] as number[] };
  let error: string | undefined;
  for await (const word of wordsOf(child)) {
    sample();
    if ('parameters' in word) result.parameters = word.parameters;
    else if ('error' in word) error = word.error;
    else {
      result.seconds.push(word.seconds);
      result.losses.push(word.loss);
      if (word.step === job.steps) child.stdin!.end();
    }
  }
  clearInterval(timer);
  if (result.seconds.length < job.steps) error ??= 'it ended early';
  return { ...result, peak, error };
}

async function* wordsOf(child: ChildProcess): AsyncGenerator<Word> {
  for await (const line of createInterface({ input: child.stdout! })) yield JSON.parse(line) as Word;
}

async function train({ model: name, batch, seq, steps, mode, optimizer: wanted }: Job): Promise<void> {
  const say = (word: Word) => process.stdout.write(`${JSON.stringify(word)}\n`);
  try {
    const preset = findPreset(name);
    const opened = preset ? undefined : await openModel(name);
    const model = opened?.model ?? preset!.family.build(preset!.preset.config);
    say({ parameters: [...model.parameters().values()].reduce((sum, { size }) => sum + size, 0) });
    const session = await createLearner(nodeEngine({ threads: 2 }), model, { batch, seq }, { memory: mode });
    if (opened) await session.fill((values) => readWeights(opened, values));
    else await session.fill((values) => fillQuickly(model, values));
    await opened?.checkpoint.tensors.close();
    const optimizer = namedOptimizer(session, wanted);
    const random = new Random(1);
    const ids = () => Int32Array.from({ length: batch * seq }, () => random.nextInt(model.config.vocab_size));
    for (let step = 1; step <= steps; step++) {
      const started = performance.now();
      const { loss } = await session.step([{ inputs: ids(), targets: ids() }], {
        optimizer,
        learningRate: 1e-5,
        clip: 1,
      });
      say({ step, seconds: (performance.now() - started) / 1000, loss });
    }
    // Stays alive until its memory has been read.
    for await (const _ of process.stdin);
    process.exit(0);
  } catch (error) {
    say({ error: (error as Error).message });
    process.exit(1);
  }
}

/** Normal deviates from a table of a million, starting at a different place for every weight. */
function fillQuickly(model: CausalLM, values: ReadonlyMap<string, Float32Array>): void {
  const random = new Random(0);
  const table = Float32Array.from({ length: 2 ** 20 }, () => random.nextGaussian());
  for (const [path, { initializer }] of model.parameters()) {
    const target = values.get(path)!;
    if ('fill' in initializer) {
      target.fill(initializer.fill);
      continue;
    }
    const scaled = table.map((x) => initializer.normal * x);
    for (let at = 0, from = random.nextInt(table.length); at < target.length; from = 0) {
      const part = scaled.subarray(from, from + Math.min(table.length - from, target.length - at));
      target.set(part, at);
      at += part.length;
    }
  }
}

function print(line: string): void {
  console.log(line);
  if (flags.out !== undefined) appendFileSync(flags.out, `${line}\n`);
}
