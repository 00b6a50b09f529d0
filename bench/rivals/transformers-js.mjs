/*
 * transformers.js as a contender of bench/inference.ts, with a model written by `ropewalk export --to onnx`. Settings:
 * {folder, model, threads}, where it is installed in `folder`:
 *
 *     npm install --prefix FOLDER @huggingface/transformers@4.3.1
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { encodeFloats, promptIds, readSettings, serve } from './protocol.mjs';

const settings = readSettings();

await serve(async () => {
  const { resolve } = createRequire(join(settings.folder, 'package.json'));
  const entry = resolve('@huggingface/transformers');
  const { version } = JSON.parse(readFileSync(join(dirname(entry), '../package.json'), 'utf8'));
  const { AutoModelForCausalLM, env, Tensor } = await import(
    pathToFileURL(join(dirname(entry), 'transformers.node.mjs')).href
  );
  env.allowRemoteModels = false;
  env.localModelPath = dirname(settings.model);
  const model = await AutoModelForCausalLM.from_pretrained(basename(settings.model), {
    device: 'cpu',
    dtype: 'fp32',
    session_options: { intraOpNumThreads: settings.threads },
  });

  const inputs = (ids) => ({
    inputs: new Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]),
    attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), [1, ids.length]),
    do_sample: false,
  });

  /** Greedy tokens after a prompt; seconds[0] is the prompt's. */
  async function generate(prompt, count) {
    const seconds = [];
    let started = performance.now();
    let isPrompt = true;
    const streamer = {
      put() {
        if (!isPrompt) {
          const now = performance.now();
          seconds.push((now - started) / 1000);
          started = now;
        }
        isPrompt = false;
      },
      end() {},
    };
    const options = { max_new_tokens: count, min_new_tokens: count, streamer };
    const output = await model.generate({ ...inputs(prompt), ...options });
    const ids = Array.from(output.data, Number).slice(prompt.length);
    return { seconds, ids };
  }

  return {
    about: `transformers.js ${version}`,
    async prefill(count) {
      const { seconds } = await generate(promptIds(count), 1);
      return { seconds: seconds[0] };
    },
    async decode(context, count) {
      // The prompt runs again each time, because no cache is kept between calls.
      const { seconds } = await generate(promptIds(context - 1), count + 1);
      return { seconds: seconds.slice(1) };
    },
    async logits(count) {
      const { inputs: input_ids, attention_mask } = inputs(promptIds(count));
      const { logits } = await model({ input_ids, attention_mask });
      const vocab = logits.dims.at(-1);
      return { logits: encodeFloats(logits.data.subarray(logits.data.length - vocab)) };
    },
    async greedy(count, tokens) {
      return { ids: (await generate(promptIds(count), tokens)).ids };
    },
  };
});
