import { initializeWeights } from '../../src/families/initialize.ts';
import { llama } from '../../src/families/llama.ts';
import { Decoder } from '../../src/generation/decoder.ts';
import { Random } from '../../src/random.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import { median } from '../inference/samples.ts';

/** Milliseconds per token of a small, deep model, with one thread and with several. */
export async function benchDecode(threads: number): Promise<void> {
  const model = llama.build({
    ...llama.presets.tiny!.config,
    hidden_size: 64,
    intermediate_size: 172,
    num_hidden_layers: 30,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
    vocab_size: 1024,
    max_position_embeddings: 4096,
    tie_word_embeddings: false,
  });
  const values = new Map([...model.parameters()].map(([path, { size }]) => [path, new Float32Array(size)]));
  initializeWeights(model.parameters(), values, new Random(0));
  const weights = new Map([...values].map(([path, data]) => [path, { data }]));
  const contenders = await Promise.all(
    [1, threads].map(async (count) => {
      const decoder = await Decoder.create(nodeEngine({ threads: count }), model, weights);
      return { count, decoder, samples: [] as number[] };
    }),
  );
  const warmUp = 4;
  for (let round = 0; round < warmUp + 20; round++) {
    for (const { decoder, samples } of contenders) {
      const cache = decoder.newCache();
      await decoder.forward(
        Int32Array.from({ length: 118 }, (_, i) => (i * 7) % 1024),
        cache,
      );
      const started = performance.now();
      for (let i = 0; i < 20; i++) await decoder.forward([i], cache);
      if (round >= warmUp) samples.push((performance.now() - started) / 20);
    }
  }
  for (const { count, decoder, samples } of contenders) {
    await decoder.release();
    console.log(
      `decode, 30 layers of width 64, context 118…138, ${count} thread${count > 1 ? 's' : ''}: best ${Math.min(...samples).toFixed(2)} ms, median ${median(samples).toFixed(2)} ms a token`,
    );
  }
}
