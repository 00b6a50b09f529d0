/*
 * Looks inside a model: the attention probabilities of its first layer, and the gradient of the residual stream.
 *
 *     node examples/07-taps.ts path/to/model "Call me Ishmael"      (Node 22.18 or newer)
 */
import { fileURLToPath } from 'node:url';
import { load } from 'ropewalk';

/** @returns probabilities `[1, heads, tokens, tokens]`, and a gradient `[1, tokens, width]`. */
export async function look(path: string, prompt: string) {
  const model = await load(path);
  try {
    const ids = await model.encode(prompt);
    const { values, gradients } = await model.run(ids, {
      taps: ['layers.0.attention.probabilities'],
      gradients: ['layers.0.input'],
    });
    return {
      probabilities: values['layers.0.attention.probabilities']!,
      gradient: gradients['layers.0.input']!,
    };
  } finally {
    await model.release();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [path, prompt = 'Call me Ishmael'] = process.argv.slice(2);
  if (!path) throw new Error('usage: 07-taps.ts <model> [prompt]');
  const { probabilities, gradient } = await look(path, prompt);
  console.log('probabilities', probabilities.shape, 'gradient', gradient.shape);
}
