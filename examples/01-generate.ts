/*
 * Continues a text with a model, piece by piece.
 *
 *     node examples/01-generate.ts path/to/model "Call me"      (Node 22.18 or newer)
 */
import { fileURLToPath } from 'node:url';
import { load } from 'ropewalk';

export async function generate(path: string, prompt: string, show: (piece: string) => void): Promise<void> {
  // The model runs in a worker thread; `await using` would release it as well.
  const model = await load(path);
  try {
    for await (const piece of model.generate(prompt, { maxTokens: 60, temperature: 0.8, seed: 1 }))
      show(piece);
  } finally {
    await model.release();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [path, prompt = 'Call me'] = process.argv.slice(2);
  if (!path) throw new Error('usage: 01-generate.ts <model> [prompt]');
  await generate(path, prompt, (piece) => process.stdout.write(piece));
}
