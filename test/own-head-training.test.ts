import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readWeights } from '../src/checkpoint/load.node.ts';
import { addTinyTokenizer } from './helpers/changed-gguf.node.ts';
import { ropewalk } from './helpers/cli.node.ts';
import { chats, smallFinetune } from './helpers/finetune-run.node.ts';
import { scratch } from './helpers/models.node.ts';
import { variant, withModel, writeVariant } from './helpers/variants.node.ts';

/** A config that says tied beside a head of its own: both matrices are trained, and saved with a config that says so. */
const { folder, remove } = scratch('own-head-training');
afterAll(remove);

const HEADS = {
  llama: ['model.embed_tokens.weight', 'lm_head.weight'],
  gpt2: ['transformer.wte.weight', 'lm_head.weight'],
} as const;

async function base(family: string): Promise<string> {
  const path = join(folder, family);
  mkdirSync(path);
  await writeVariant(path, variant(`a head of its own, ${family}`));
  addTinyTokenizer(path);
  writeFileSync(`${path}.jsonl`, chats(60));
  return path;
}

const weightsOf = (path: string) =>
  withModel(path, async (model) => {
    const values = new Map(
      [...model.model.parameters()].map(([name, { size }]) => [name, new Float32Array(size)]),
    );
    await readWeights(model, values);
    return values;
  });

/** Both matrices moved, by different amounts, and the config tells transformers that there are two. */
async function expectBothTrained(from: string, out: string, [embedding, head]: readonly [string, string]) {
  const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
  expect(config.tie_word_embeddings).toBe(false);
  const [before, after] = [await weightsOf(from), await weightsOf(out)];
  await withModel(out, ({ warnings }) => expect(warnings).toEqual([]));
  const moved = (name: string) =>
    Float32Array.from(before.get(name)!, (value, i) => after.get(name)![i]! - value);
  const [first, second] = [moved(embedding), moved(head)];
  for (const changes of [first, second]) expect(changes.some((change) => change !== 0)).toBe(true);
  expect(first).not.toEqual(second);
}

describe.each(['llama', 'gpt2'] as const)('a %s with a head of its own', (family) => {
  it('is fine-tuned and distilled with head and embedding trained separately', async () => {
    const path = await base(family);
    const tuned = `${path}-tuned`;
    await smallFinetune(path, { out: tuned, freeze: [], addToken: [], steps: 4, saveEvery: 4, evalEvery: 4 });
    await expectBothTrained(path, tuned, HEADS[family]);
    const taught = `${path}-taught`;
    const small = ['--seq', '16', '--batch', '2', '--threads', '1', '--json', '--steps', '3'];
    const { stderr, code } = await ropewalk([
      ...['distill', '--teacher', tuned, '--student', path, '--data', `${path}.jsonl`, '--out', taught],
      ...[...small, '--lr', '1e-3'],
    ]);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/has a separate head/);
    await expectBothTrained(path, taught, HEADS[family]);
  });
});
