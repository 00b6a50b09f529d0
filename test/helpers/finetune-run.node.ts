import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type FinetuneOptions, finetune } from '../../src/finetune/finetune.node.ts';
import { Random } from '../../src/random.ts';
import type { RunEvent } from '../../src/training/runs/events.ts';
import { tinyTokenizer } from './tiny-tokenizer.ts';

/** A reference model with a tokenizer beside it: what fine-tuning begins from. */
export function baseModel(path: string, name = 'llama'): string {
  mkdirSync(path, { recursive: true });
  const from = fileURLToPath(new URL(`../reference/${name}/`, import.meta.url));
  for (const file of ['config.json', 'generation_config.json', 'model.safetensors']) {
    cpSync(join(from, file), join(path, file));
  }
  const { tokenizer, config } = tinyTokenizer();
  writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(join(path, 'tokenizer_config.json'), JSON.stringify(config));
  return path;
}

/** Chats whose answers follow a rule: the letters of the question, each the next in the alphabet. */
export function chats(count: number): string {
  const random = new Random(5);
  const letter = (code: number) => String.fromCharCode(97 + (code % 26));
  return Array.from({ length: count }, () => {
    const codes = Array.from({ length: 2 + random.nextInt(4) }, () => random.nextInt(26));
    const prompt = codes.map(letter).join('');
    const completion = codes.map((code) => letter(code + 1)).join('');
    return `${JSON.stringify({ prompt, completion })}\n`;
  }).join('');
}

export const FINETUNE_STEPS = 20;

/** Options of a run of about a second that has everything in it. */
export const SMALL = {
  ...{ steps: FINETUNE_STEPS, batch: 2, seq: 24, accumulate: 2, lr: 3e-3, warmup: 2, seed: 3, threads: 1 },
  ...{ evalEvery: 5, saveEvery: 3, keep: 2, validation: 12 },
  ...{ samplePrompt: ['abc'], sampleTokens: 6, addToken: ['<new>'], freeze: ['model.layers.0.*'] },
  states: 'bfloat16',
} satisfies Partial<FinetuneOptions>;

/** Fine-tunes a model on `chats.jsonl` beside it; calls `onStep` with the steps that are made. */
export async function smallFinetune(
  model: string,
  options: Partial<FinetuneOptions> & Pick<FinetuneOptions, 'out'>,
  onStep: (step: number) => void = () => {},
): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const event of finetune(model, `${model}.jsonl`, { ...SMALL, ...options })) {
    if (event.type === 'step') onStep(event.step);
    events.push(event);
  }
  return events;
}
