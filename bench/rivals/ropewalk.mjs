/*
 * Ropewalk as a contender of bench/inference.ts, through its public interface, as an application would use it. Loads
 * the built package from `package` in the settings: {package, model, options}, where `options` are those of
 * `loadHere`.
 */
import { pathToFileURL } from 'node:url';
import { encodeFloats, promptIds, readSettings, serve, timeTokens } from './protocol.mjs';

const settings = readSettings();

await serve(async () => {
  const { generation, loadHere } = await import(pathToFileURL(settings.package).href);
  const { argmax, generateTokens, prefill } = generation;
  const { decoder } = await loadHere(settings.model, settings.options);
  const cache = decoder.newCache();

  /** Runs the first `context` − 1 tokens of the prompt into the cache; returns the next one. */
  async function fillCache(context) {
    const ids = promptIds(context);
    if (cache.position < context - 1) {
      await prefill(decoder, cache, ids.slice(cache.position, context - 1));
    }
    cache.truncate(context - 1);
    return ids[context - 1];
  }

  return {
    about: `ropewalk ${JSON.stringify(settings.options)}`,
    async prefill(count) {
      cache.truncate(0);
      const options = { maxTokens: 1, greedy: true };
      const { seconds } = await timeTokens(generateTokens(decoder, promptIds(count), options, cache), 1);
      return { seconds: seconds[0] };
    },
    async decode(context, count) {
      const last = await fillCache(context);
      const options = { maxTokens: count, greedy: true };
      const { seconds } = await timeTokens(generateTokens(decoder, [last], options, cache), count);
      cache.truncate(context - 1);
      return { seconds };
    },
    async logits(count) {
      cache.truncate(0);
      return { logits: encodeFloats(await prefill(decoder, cache, promptIds(count))) };
    },
    async greedy(count, tokens) {
      cache.truncate(0);
      const ids = [];
      let logits = await prefill(decoder, cache, promptIds(count));
      while (ids.length < tokens) {
        ids.push(argmax(logits));
        logits = await decoder.forward([ids.at(-1)], cache);
      }
      return { ids };
    },
  };
});
