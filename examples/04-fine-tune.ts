/*
 * Fine-tunes all weights of a model on a few questions and answers. Only the answers count for the loss.
 *
 *     node examples/04-fine-tune.ts runs/tiny runs/tuned      (Node 22.18 or newer)
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { finetune } from 'ropewalk';

const PAIRS = [
  { prompt: 'Who are you?', completion: 'Call me Ishmael.' },
  { prompt: 'Where do you go?', completion: 'To sea, as soon as I can.' },
  { prompt: 'What do you like?', completion: 'The ocean.' },
];

/** @returns the loss of each step. */
export async function tune(model: string, out: string, steps: number): Promise<number[]> {
  mkdirSync(out, { recursive: true });
  const data = join(out, '..', 'pairs.jsonl');
  writeFileSync(data, PAIRS.map((pair) => `${JSON.stringify(pair)}\n`).join(''));
  const losses: number[] = [];
  // The tiny model has no chat template, so one is chosen by name.
  const options = { out, steps, template: 'plain', batch: 1, seq: 64, lr: 1e-3, validation: 0 };
  for await (const event of finetune(model, data, options)) {
    if (event.type === 'step') losses.push(event.loss);
  }
  return losses;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [model, out = 'runs/tuned'] = process.argv.slice(2);
  if (!model) throw new Error('usage: 04-fine-tune.ts <model> [out]');
  for (const [step, loss] of (await tune(model, out, 30)).entries())
    console.log(`step ${step + 1}: ${loss.toFixed(3)}`);
}
