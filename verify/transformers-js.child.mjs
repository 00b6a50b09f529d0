/*
 * transformers.js's side of verify/transformers-js.ts: FOLDER MODEL PROMPT COUNT → {encoded, ids} or {error} on stdout.
 */
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, path, prompt, count] = process.argv.slice(2);
const entry = createRequire(join(folder, 'package.json')).resolve('@huggingface/transformers');
const { AutoModelForCausalLM, AutoTokenizer, env, Tensor } = await import(
  pathToFileURL(join(dirname(entry), 'transformers.node.mjs')).href
);
env.allowRemoteModels = false;
env.localModelPath = dirname(path);
let answer;
try {
  const name = basename(path);
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const model = await AutoModelForCausalLM.from_pretrained(name, { device: 'cpu', dtype: 'fp32' });
  const encoded = tokenizer.encode(prompt);
  const inputs = new Tensor('int64', BigInt64Array.from(encoded, BigInt), [1, encoded.length]);
  const attention_mask = new Tensor('int64', new BigInt64Array(encoded.length).fill(1n), [1, encoded.length]);
  const new_tokens = Number(count);
  const output = await model.generate({
    ...{ inputs, attention_mask, do_sample: false },
    ...{ max_new_tokens: new_tokens, min_new_tokens: new_tokens },
  });
  answer = { encoded, ids: Array.from(output.data, Number).slice(encoded.length) };
} catch (error) {
  answer = { error: String(error?.message ?? error) };
}
process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0));
