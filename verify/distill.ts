/**
 * Distillation on stories: a student taught by a larger model, online or from recorded probabilities, compared with
 * the same student trained alone on the same tokens, over several seeds; held-out losses are next-token cross-entropy
 * on the last tenth.
 *
 *     node scripts/run-ts.js verify/distill.ts STORIES.json [--seeds 3] [--steps 400] [--teacher-steps 700] [--json]
 *
 * STORIES.json is a list of texts. The teacher is trained first, in this process, and stored in --work if given.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BatchSampler, evaluationBatches } from '../src/batches.ts';
import { distill, type TeachingSource } from '../src/distillation/distill.node.ts';
import { openTeacher } from '../src/distillation/open-teacher.node.ts';
import { openStudent } from '../src/distillation/student.node.ts';
import { TaughtFile } from '../src/distillation/taught-file.node.ts';
import { teach } from '../src/distillation/teach.node.ts';
import type { LlamaConfig } from '../src/families/llama.ts';
import { llama } from '../src/families/llama.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { encodeCorpus, splitCorpus } from '../src/text/corpus.ts';
import { bpeTokenizerConfig, trainBpe } from '../src/tokenizer/bpe-trainer.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { tokenizerFiles } from '../src/tokenizer/tokenizer-files.ts';
import { train } from '../src/training/runs/pretrain.node.ts';
import type { TrainingInput } from '../src/training/settings.ts';

const { positionals, values: flags } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '400' },
    'teacher-steps': { type: 'string', default: '700' },
    k: { type: 'string', default: '64' },
    ratio: { type: 'string', default: '1' },
    temperature: { type: 'string', default: '1' },
    vocab: { type: 'string', default: '1024' },
    work: { type: 'string' },
  },
});
const [stories] = positionals;
if (!stories) throw new Error('usage: verify/distill.ts STORIES.json [options]');
const number = (name: 'seeds' | 'steps' | 'teacher-steps' | 'k' | 'ratio' | 'temperature' | 'vocab') =>
  Number(flags[name]);
const say = (text: string) => process.stdout.write(`${text}\n`);

const work = flags.work ?? mkdtempSync(join(tmpdir(), 'distill-'));
const engine = nodeEngine({ threads: 2 });
const texts = JSON.parse(readFileSync(stories, 'utf8')) as string[];
const json = trainBpe(texts, { vocabSize: number('vocab') });
const tokenizer = Tokenizer.fromJSON(json, bpeTokenizerConfig(json));
const end = tokenizer.eosId!;
const tokens = encodeCorpus(tokenizer, texts, { endOfDocument: end });
const { training, validation } = splitCorpus(tokens, 0.1);
const identity = createHash('sha256').update(new Uint8Array(tokens.buffer)).digest('hex');
const shape = { batch: 8, seq: 128 };
const base = {
  ...(llama.presets.tiny!.config as LlamaConfig),
  vocab_size: tokenizer.vocabSize,
  eos_token_id: [end],
};
const size = (width: number, layers: number, heads: number): LlamaConfig => ({
  ...base,
  hidden_size: width,
  intermediate_size: 3 * width,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  num_key_value_heads: heads,
  head_dim: width / heads,
});
const teacherConfig = { ...size(160, 4, 5), initializer_range: 0.05 };
const studentConfig = size(64, 2, 4);
const count = (config: LlamaConfig) => (llama.build(config).parameterCount() / 1e6).toFixed(2);
say(
  `${texts.length} stories, ${training.length} tokens to train on, ${validation.length} held out; vocabulary ${tokenizer.vocabSize}`,
);
say(`teacher ${count(teacherConfig)}M weights, student ${count(studentConfig)}M`);

const settings = (steps: number, lr: number, seed: number): TrainingInput => ({
  ...{ steps, lr, seed, batch: shape.batch, warmup: 20, evalEvery: 0, saveEvery: 0, guard: 0, keep: 1 },
  result: 'last',
});

/** Runs to the end and returns the last held-out loss. */
async function lossOf(events: AsyncIterable<{ type: string; loss?: number }>): Promise<number> {
  let loss = Number.NaN;
  for await (const event of events) if (event.type === 'evaluation') loss = event.loss!;
  return loss;
}

async function timed<T>(what: () => Promise<T>): Promise<{ value: T; seconds: number }> {
  const started = performance.now();
  const value = await what();
  return { value, seconds: (performance.now() - started) / 1000 };
}

let runs = 0;
const folder = () => join(work, `run-${process.pid}-${runs++}`);

/** The same weights and batches as those of a student with this seed, trained by next-token prediction. */
const alone = (config: LlamaConfig, made: TrainingInput, out: string) =>
  lossOf(
    train({
      ...{ family: llama, config, files: tokenizerFiles(tokenizer), tokens, validation: validation.length },
      ...{ ...made, seq: shape.seq, engine, out },
    }),
  );

const teacherPath = join(work, 'teacher');
if (!existsSync(join(teacherPath, 'config.json'))) {
  const made = await timed(() =>
    alone(teacherConfig, settings(number('teacher-steps'), 3e-3, 0), teacherPath),
  );
  say(`teacher: held-out loss ${made.value.toFixed(4)} (${made.seconds.toFixed(0)} s)`);
}
const teacher = await openTeacher(teacherPath);
const data = {
  training: () => evaluationBatches(training, shape.batch, shape.seq),
  heldOut: () => evaluationBatches(validation, shape.batch, shape.seq),
  identity,
};
/** Records the teacher's probabilities by one of the two methods. */
async function write(method: 'sampled' | 'largest'): Promise<TaughtFile> {
  const file = join(work, `${method}-${process.pid}.taught`);
  const options = { k: number('k'), method, temperature: number('temperature'), seed: 0, out: file };
  const { value, seconds } = await timed(async () => {
    for await (const event of teach(engine, { teacher, data, shape, ...options }))
      if (event.type === 'finished') return event;
    throw new Error('the teacher did not finish');
  });
  const { bytes, covered, rows } = value;
  say(
    `written: ${options.k} ${method} of ${tokenizer.vocabSize}, which hold ${(100 * covered).toFixed(1)} % of the probability; ` +
      `${(bytes / 1e6).toFixed(1)} MB, ${(bytes / (rows * shape.seq)).toFixed(0)} bytes a token (${seconds.toFixed(0)} s)`,
  );
  return TaughtFile.open(file);
}
const sampled = await write('sampled');
const largest = await write('largest');

const student = await openStudent({ kind: 'scratch', family: llama, config: studentConfig });
const learn = (seed: number, teaching: TeachingSource) => {
  const made = {
    ...settings(number('steps'), 4e-3, seed),
    ...(teaching.kind === 'online' && { seq: shape.seq }),
    ...{ temperature: number('temperature'), ratio: number('ratio') },
  };
  return lossOf(
    distill({ ...made, student, teaching, files: tokenizerFiles(tokenizer), engine, out: folder() }),
  );
};
const ways = {
  alone: (seed: number) => alone(studentConfig, settings(number('steps'), 4e-3, seed), folder()),
  online: (seed: number) =>
    learn(seed, {
      kind: 'online',
      teacher,
      training: () => new BatchSampler({ tokens: training, ...shape, seed }),
      validation: () => evaluationBatches(validation, shape.batch, shape.seq),
      dataIdentity: identity,
      size: {
        ...{ tokens: training.length, trainedTokens: training.length },
        batchesPerEpoch: training.length / (shape.batch * shape.seq),
      },
    }),
  offline: (seed: number) => learn(seed, { kind: 'offline', file: sampled }),
  // For comparison: the largest probabilities, renormalized, are a different distribution.
  'offline, largest': (seed: number) => learn(seed, { kind: 'offline', file: largest }),
};
type Way = keyof typeof ways;
const losses: Record<Way, number[]> = { alone: [], online: [], offline: [], 'offline, largest': [] };
for (let seed = 1; seed <= number('seeds'); seed++) {
  for (const way of Object.keys(ways) as Way[]) {
    const { value, seconds } = await timed(() => ways[way](seed));
    losses[way].push(value);
    say(`seed ${seed}, ${way.padEnd(16)} held-out loss ${value.toFixed(4)} (${seconds.toFixed(0)} s)`);
  }
}
await sampled.close();
await largest.close();
await teacher.close();

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
/** Of the mean. */
const standardError = (values: readonly number[]) => {
  const center = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1) / values.length);
};
say(
  `\n${number('steps')} steps of ${shape.batch * shape.seq} tokens, ratio ${flags.ratio}, temperature ${flags.temperature}`,
);
for (const way of Object.keys(ways) as Way[])
  say(`${way.padEnd(16)} ${mean(losses[way]).toFixed(4)} ± ${standardError(losses[way]).toFixed(4)}`);
const gainOf = (way: Way) => losses.alone.map((loss, i) => loss - losses[way][i]!);
const [online, offline] = [gainOf('online'), gainOf('offline')];
const error = Math.hypot(standardError(losses.alone), standardError(losses.online));
say(
  `online gain  ${mean(online).toFixed(4)} nats: ${(mean(online) / error).toFixed(1)} standard errors of the difference`,
);
say(
  `offline gain ${mean(offline).toFixed(4)} nats: ${((100 * mean(offline)) / mean(online)).toFixed(0)} % of the online gain`,
);
const passed = mean(online) > 2 * error && mean(offline) >= 0.9 * mean(online);
say(passed ? 'passed' : 'FAILED');
if (!flags.work) rmSync(work, { recursive: true, force: true });
process.exitCode = passed ? 0 : 1;
