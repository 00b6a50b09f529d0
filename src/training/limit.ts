import { input, matmul } from '../graph/operators/index.ts';
import type { Engine } from '../runtime/engine.ts';
import { Executable } from '../runtime/executable.ts';

/**
 * The engine's peak speed: floating-point operations per second of a bare product `[rows, inner] · [inner, outer]`,
 * the best of several runs. A multiply-add is two operations.
 *
 * @param milliseconds how long to measure.
 */
export async function measureProducts(
  engine: Engine,
  { rows, inner, outer }: { readonly rows: number; readonly inner: number; readonly outer: number },
  milliseconds = 300,
): Promise<number> {
  const [a, b] = [input('a', 'float32', [rows, inner]), input('b', 'float32', [inner, outer])];
  const executable = await Executable.compile(engine, new Map([['y', matmul(a, b)]]));
  const feeds = {
    a: { data: new Float32Array(rows * inner).fill(0.5), shape: [rows, inner] },
    b: { data: new Float32Array(inner * outer).fill(0.5), shape: [inner, outer] },
  };
  const y = new Float32Array(rows * outer);
  try {
    await executable.run(feeds, { y });
    let best = Number.POSITIVE_INFINITY;
    const end = performance.now() + milliseconds;
    do {
      const started = performance.now();
      await executable.run(feeds, { y });
      best = Math.min(best, performance.now() - started);
    } while (performance.now() < end);
    return (2 * rows * inner * outer) / (best / 1000);
  } finally {
    await executable.release();
  }
}
