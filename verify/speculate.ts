/**
 * Compares greedy ids of a real model with and without `--speculate lookup` in the modes that guarantee the same text,
 * and checks that the other mode is refused:
 *
 *     node scripts/run-ts.js verify/speculate.ts MODEL [TOKENS]
 */
import { openModel, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { createDecoder, type DecoderOptions } from '../src/generation/decoder.node.ts';
import { generateTokens } from '../src/generation/generate.ts';

const [file, count = '24'] = process.argv.slice(2);
if (!file) throw new Error('usage: verify/speculate.ts MODEL [TOKENS]');
const maxTokens = Number(count);

const prompts = [
  ...['The capital of France is', 'Once upon a time there was a little', 'def fibonacci(n):\n'],
  ...['List the numbers from one to twenty: one, two, three,', 'The cat sat on the mat. The cat sat on the'],
  ...['Q: What is 2+2?\nA: 4\nQ: What is 3+3?\nA:', '{"name": "Kim", "age": 3}\n{"name": "Lee", "age": 4}\n'],
  ...['Monday, Tuesday, Wednesday,', 'Water is made of hydrogen and oxygen. Water', 'Dear Sir or Madam,\n\n'],
  ...['import numpy as np\nimport numpy as np\n', 'A recipe for bread: flour, water,', '안녕하세요. 오늘은'],
  ...['The quick brown fox jumps over the lazy dog. The quick brown', '<ul>\n<li>One</li>\n<li>Two</li>\n'],
  ...['SELECT name FROM users WHERE', 'To be, or not to be, that is', 'Roses are red, violets are'],
  ...['for i in range(10):\n    print(i)\nfor j in range(10):\n', 'In 1999, in 2000, in 2001, in'],
];

const forms: Record<string, DecoderOptions> = {
  'int8, block 32, exact activations': { quantize: { bits: 8, block: 32 }, activations: 'exact' },
  'int4, block 64, exact activations': { quantize: { bits: 4, block: 64 }, activations: 'exact' },
  'own bits (exact activations)': {},
  float32: { quantize: 'none' },
};

async function open(form: DecoderOptions) {
  const opened = await openModel(file!);
  const tokenizer = (await tokenizerOf(opened.checkpoint))!;
  const decoder = await createDecoder(opened, { ...form, threads: 2 });
  await opened.checkpoint.tensors.close();
  return { tokenizer, decoder };
}

for (const [name, form] of Object.entries(forms)) {
  const { tokenizer, decoder } = await open(form);
  let same = 0;
  for (const prompt of prompts) {
    const ids = tokenizer.encode(prompt);
    const made: number[][] = [];
    for (const speculate of [undefined, 'lookup'] as const) {
      const options = { maxTokens, greedy: true, stopTokens: [], ...(speculate && { speculate }) };
      const got: number[] = [];
      for await (const id of generateTokens(decoder, ids, options)) got.push(id);
      made.push(got);
    }
    if (made[0]!.join() === made[1]!.join()) same++;
    else console.log(`${name}: differs behind ${JSON.stringify(prompt)}`);
  }
  console.log(`${name}: the same ids for ${same} of ${prompts.length} prompts, ${maxTokens} tokens each`);
  await decoder.release();
}

const { decoder } = await open({ activations: 'int8' });
try {
  for await (const _ of generateTokens(decoder, [1, 2, 3], { maxTokens: 4, speculate: 'lookup' }));
  console.log('8-bit activations: not refused');
} catch (error) {
  console.log(`8-bit activations: refused: ${(error as Error).message}`);
}
await decoder.release();
