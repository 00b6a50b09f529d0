/*
 * node-llama-cpp as a contender of bench/inference.ts. Settings: {folder, model, threads, contextSize}, where
 * node-llama-cpp is installed in `folder`:
 *
 *     npm install --prefix FOLDER node-llama-cpp@3.22.1
 *
 * The context has the default settings: keys and values in float16, and flash attention where the library chooses it.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { encodeFloats, promptIds, readSettings, serve, timeTokens } from './protocol.mjs';

const settings = readSettings();

await serve(async () => {
  const { resolve } = createRequire(join(settings.folder, 'package.json'));
  const entry = resolve('node-llama-cpp');
  const { version } = JSON.parse(readFileSync(join(entry, '../../package.json'), 'utf8'));
  const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href);
  const { threads, contextSize } = settings;
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    logLevel: LlamaLogLevel.error,
    maxThreads: threads,
  });
  const model = await llama.loadModel({ modelPath: settings.model });
  const context = await model.createContext({ contextSize, threads });
  const sequence = context.getSequence();
  const greedy = { temperature: 0, yieldEogToken: true };

  async function truncate(position) {
    const end = sequence.nextTokenIndex;
    if (position === 0) await sequence.clearHistory();
    else if (end > position) await sequence.eraseContextTokenRanges([{ start: position, end }]);
  }

  async function fillCache(position) {
    const missing = promptIds(position).slice(sequence.nextTokenIndex);
    if (missing.length > 0) await sequence.evaluateWithoutGeneratingNewTokens(missing);
    await truncate(position);
    if (sequence.nextTokenIndex !== position) throw new Error('the context cannot be cut back');
  }

  return {
    about: `node-llama-cpp ${version}`,
    async prefill(count) {
      await truncate(0);
      const { seconds } = await timeTokens(sequence.evaluate(promptIds(count), greedy), 1);
      return { seconds: seconds[0] };
    },
    async decode(contextLength, count) {
      await fillCache(contextLength - 1);
      const last = promptIds(contextLength).at(-1);
      const { seconds } = await timeTokens(sequence.evaluate([last], greedy), count);
      await truncate(contextLength - 1);
      return { seconds };
    },
    async logits(count) {
      await truncate(0);
      const ids = promptIds(count);
      const last = ids.pop();
      await sequence.evaluateWithoutGeneratingNewTokens(ids);
      const [result] = await sequence.controlledEvaluate([[last, { generateNext: { logits: true } }]]);
      const { logits } = result.next;
      const ordered = new Float32Array(logits.size);
      for (const [id, value] of logits) ordered[id] = value;
      return { logits: encodeFloats(ordered) };
    },
    async greedy(count, tokens) {
      await truncate(0);
      return { ids: (await timeTokens(sequence.evaluate(promptIds(count), greedy), tokens)).ids };
    },
  };
});
