import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { llama } from '../../src/families/llama.ts';
import { Random } from '../../src/random.ts';
import type { RunEvent } from '../../src/training/runs/events.ts';
import { type PretrainingOptions, train } from '../../src/training/runs/pretrain.node.ts';
import type { RunOptions } from '../../src/training/runs/run-job.node.ts';

export type SmallRun = PretrainingOptions & RunOptions;

/** A training run that takes well under a second and has everything in it: accumulation, evaluations, checkpoints. */

const VOCAB = 24;
const config = llama.readConfig(
  {
    vocab_size: VOCAB,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 32,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
  },
  'the test',
);

/** Ids that follow one another by a rule, but for some: there is something to learn. */
export function tokens(count: number): Int32Array {
  const random = new Random(7);
  const ids = new Int32Array(count);
  for (let i = 1; i < count; i++) {
    ids[i] = random.next() < 0.2 ? random.nextInt(VOCAB) : (3 * ids[i - 1]! + 1) % VOCAB;
  }
  return ids;
}

export const STEPS = 24;
export const SAVE_EVERY = 3;

export function smallRun(out: string, resume: NonNullable<RunOptions['resume']>): SmallRun {
  return {
    family: llama,
    config,
    files: [{ name: 'tokenizer.json', data: '{}' }],
    tokens: tokens(700),
    validation: 100,
    ...{
      batch: 2,
      seq: 8,
      steps: STEPS,
      accumulate: 2,
      lr: 0.01,
      warmup: 4,
      evalEvery: 4,
      saveEvery: SAVE_EVERY,
    },
    ...{ seed: 11, threads: 1 },
    out,
    resume,
  };
}

/** Runs to the end or until the signal aborts; calls `onStep` with the steps that are made. */
export async function runToEnd(
  options: SmallRun,
  onStep: (step: number) => void = () => {},
  signal?: AbortSignal,
): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const event of train({ ...options, signal })) {
    if (event.type === 'step') onStep(event.step);
    events.push(event);
  }
  return events;
}

/**
 * Everything that a run has left on the disk, but for speeds and times: file name → content. Equal runs leave equal content.
 */
export function leftBehind(out: string): Record<string, string> {
  const content: Record<string, string> = {};
  for (const path of readdirSync(out, { recursive: true, encoding: 'utf8' }).sort()) {
    if (statSync(join(out, path)).isDirectory() || path === 'report.html') continue;
    const bytes = readFileSync(join(out, path));
    const read = TEXTS[path];
    content[path] = read ? read(bytes.toString()) : bytes.toString('base64');
  }
  return content;
}

const TEXTS: Readonly<Record<string, (text: string) => string>> = {
  'metrics.jsonl': withoutSpeeds,
  'run.json': (text) => text.replace(/"begun": "[^"]+"/, ''),
};

function withoutSpeeds(jsonl: string): string {
  return jsonl.replaceAll(/,"(tokensPerSecond|secondsPerStep|secondsLeft|engineShare)":[\d.e+-]+/g, '');
}
