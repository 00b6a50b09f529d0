/**
 * Full fine-tuning of a real model compared with PyTorch, step by step: the same weights, batches and settings.
 *
 *     node scripts/run-ts.js verify/finetune-curve.ts MODEL PAIRS.csv OUT [--steps 100] [--batch 2] [--seq 128]
 *         [--learning-rate 1e-4] [--clip 1] [--template NAME]
 *     python verify/finetune-curve.py OUT        # transformers + torch.optim.AdamW, and the comparison
 *
 * MODEL is SmolLM2-135M-Instruct or Gemma 3 270M (a Hugging Face directory or a GGUF file), NAME is one of Ropewalk's
 * templates, for a base model without one; PAIRS has the Korean chatbot's questions and answers. OUT gets the weights
 * in float32 (`model/`), the batches of the optimizer (`ids.i32`, `targets.i32`, `weights.f32`, all `[steps, batch,
 * seq]`), the settings and our losses (`curve.json`). A row is one pair in the model's chat template, cut or padded on
 * the right; only the answer's tokens and the end of its turn are trained.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { TrainingRows } from '../src/batches.ts';
import { encodeChat } from '../src/chat/encode.ts';
import type { ChatMessage } from '../src/chat/messages.ts';
import type { ChatTemplate } from '../src/chat/template.ts';
import { openModel, readWeights, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { saveModelDirectory } from '../src/checkpoint/save.node.ts';
import { templateByName } from '../src/data/templates.ts';
import { requireTemplate } from '../src/generation/chat.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { AdamW } from '../src/training/optimizers/optimizer.ts';
import { createSchedule } from '../src/training/schedule.ts';
import { WholeGraphLearner } from '../src/training/whole-graph-learner.ts';

const { positionals, values: flags } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '100' },
    batch: { type: 'string', default: '2' },
    seq: { type: 'string', default: '128' },
    'learning-rate': { type: 'string', default: '1e-4' },
    clip: { type: 'string', default: '1' },
    template: { type: 'string' },
  },
});
const [file, pairs, out] = positionals;
if (!file || !pairs || !out) throw new Error('usage: verify/finetune-curve.ts MODEL PAIRS.csv OUT [options]');

const settings = {
  steps: Number(flags.steps),
  batch: Number(flags.batch),
  seq: Number(flags.seq),
  lr: Number(flags['learning-rate']),
  warmup: 10,
  clip: Number(flags.clip),
  ...{ beta1: 0.9, beta2: 0.95 },
  eps: 1e-8,
  weightDecay: 0.1,
  seed: 7,
};
const shape = { batch: settings.batch, seq: settings.seq };

const opened = await openModel(file);
const tokenizer = (await tokenizerOf(opened.checkpoint))!;
const { template } = flags;
const batches = makeBatches(
  tokenizer,
  template === undefined ? requireTemplate(tokenizer, file) : templateByName(template, tokenizer),
);

const session = await WholeGraphLearner.create(nodeEngine({ threads: 2 }), opened.model, shape);
const values = session.values();
await readWeights(opened, values);
await opened.checkpoint.tensors.close();
mkdirSync(out, { recursive: true });
const parameters = opened.model.parameters();
const { lr, warmup, steps, clip, beta1, beta2, eps, weightDecay } = settings;
await saveModelDirectory(`${out}/model`, {
  config: opened.family.writeConfig(opened.config),
  tensors: [...values].map(([name, data]) => ({ name, shape: parameters.get(name)!.shape, data })),
});

const schedule = createSchedule({ schedule: 'cosine', lr, steps, warmup, minLrRatio: 0.1 });
const optimizer = new AdamW(session.trainables, { beta1, beta2, eps, weightDecay });
const curve: { learningRate: number; loss: number; gradientNorm: number; tokens: number }[] = [];
for (const [step, batch] of batches.entries()) {
  // Like the trainer: the first step uses the warm-up's second value, since its first is 0.
  const rate = schedule(step + 1);
  const result = await session.step([batch], { optimizer, learningRate: rate, clip });
  curve.push({
    learningRate: rate,
    loss: result.loss,
    gradientNorm: result.gradientNorm,
    tokens: result.tokens,
  });
  if (step % 10 === 9) console.log(`step ${step + 1}: loss ${result.loss.toFixed(5)}`);
}
await session.release();

const bytes = (arrays: readonly ArrayBufferView[]) =>
  Buffer.concat(
    arrays.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)),
  );
writeFileSync(`${out}/ids.i32`, bytes(batches.map(({ inputs }) => inputs)));
writeFileSync(`${out}/targets.i32`, bytes(batches.map(({ targets }) => targets)));
writeFileSync(`${out}/weights.f32`, bytes(batches.map(({ weights }) => weights)));
const decayed = [...parameters].filter(([, each]) => each.shape.length >= 2).map(([name]) => name);
writeFileSync(`${out}/curve.json`, JSON.stringify({ settings, decayed, curve }, null, 1));
console.log(
  `${out}: ${curve.length} steps, ${curve.reduce((sum, { tokens }) => sum + tokens, 0)} trained tokens`,
);

/** The rows of each step: pairs in a seeded order, each once. */
function makeBatches(tokenizer: Tokenizer, template: ChatTemplate) {
  const { steps, batch, seq, seed } = settings;
  const rows = readPairs(readFileSync(pairs!, 'utf8'));
  const order = new Random(seed).shuffle(Int32Array.from(rows, (_, i) => i));
  const needed = steps * batch;
  if (order.length < needed) throw new Error(`${pairs} has ${order.length} pairs, but ${needed} are needed`);
  return Array.from({ length: steps }, (_, step) => {
    const weights = new Float32Array(batch * seq);
    const result = { inputs: new Int32Array(batch * seq), targets: new Int32Array(batch * seq), weights };
    for (let row = 0; row < batch; row++) {
      const [question, answer] = rows[order[step * batch + row]!]!;
      const asked: ChatMessage[] = [{ role: 'user', content: question }];
      const prompt = encodeChat(tokenizer, template, asked, { addGenerationPrompt: true });
      const whole = encodeChat(tokenizer, template, [...asked, { role: 'assistant', content: answer }]);
      for (let i = 0; i < Math.min(seq, whole.length - 1); i++) {
        result.inputs[row * seq + i] = whole[i]!;
        result.targets[row * seq + i] = whole[i + 1]!;
        weights[row * seq + i] = i + 1 >= prompt.length ? 1 : 0;
      }
    }
    return result satisfies TrainingRows;
  });
}

/** Columns Q and A of a CSV file whose fields may be quoted. */
function readPairs(text: string): (readonly [string, string])[] {
  const lines = text.trim().split(/\r?\n/).slice(1);
  return lines.map((line) => {
    const fields = [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)].map(([, field]) =>
      field!.startsWith('"') ? field!.slice(1, -1).replaceAll('""', '"') : field!,
    );
    return [fields[0]!, fields[1]!] as const;
  });
}
