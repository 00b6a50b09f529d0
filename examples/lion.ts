/*
 * A custom optimizer: Lion (Chen et al. 2023, arXiv:2302.06675), which keeps one running average and steps by signs.
 *
 *     node examples/lion.ts path/to/model chats.jsonl runs/lion      (Node 22.18 or newer)
 */
import { fileURLToPath } from 'node:url';
import { finetune, type training } from 'ropewalk';

export interface LionOptions {
  readonly betas?: readonly [number, number];
  readonly weightDecay?: number;
}

export class Lion implements training.Optimizer {
  readonly #averages: Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  readonly #steps = new Map<string, number>();
  readonly #betas: readonly [number, number];
  readonly #weightDecay: number;

  constructor(
    parameters: readonly { readonly name: string; readonly shape: readonly number[] }[],
    { betas = [0.9, 0.99], weightDecay = 0 }: LionOptions = {},
  ) {
    this.#betas = betas;
    this.#weightDecay = weightDecay;
    this.#averages = new Map(
      parameters.map(({ name, shape }) => {
        return [name, { shape, data: new Float32Array(shape.reduce((size, each) => size * each, 1)) }];
      }),
    );
  }

  step(
    parameters: Iterable<training.OptimizedParameter>,
    { learningRate, gradientScale = 1 }: training.StepSettings,
  ): void {
    const [beta1, beta2] = this.#betas;
    for (const { name, value, gradient, offset = 0 } of parameters) {
      // A large weight may come in ranges: `offset` is where this one begins.
      const average = this.#averages.get(name)!.data.subarray(offset, offset + value.length);
      for (let i = 0; i < value.length; i++) {
        const g = gradientScale * gradient[i]!;
        const direction = Math.sign(beta1 * average[i]! + (1 - beta1) * g);
        value[i] = value[i]! - learningRate * (direction + this.#weightDecay * value[i]!);
        average[i] = beta2 * average[i]! + (1 - beta2) * g;
      }
      if (offset === 0) this.#steps.set(name, (this.#steps.get(name) ?? 0) + 1);
    }
  }

  /** The state in a checkpoint, so that a run resumes bit for bit. */
  state(): training.OptimizerState {
    const tensors = [...this.#averages].map(([name, { shape, data }]) => {
      return [`m.${name}`, { dtype: 'F32' as const, shape, data }] as const;
    });
    const steps = [...this.#averages.keys()].map((name) => [name, this.#steps.get(name) ?? 0]);
    return { steps: Object.fromEntries(steps), tensors: new Map(tensors) };
  }

  restore({ steps, tensors }: training.OptimizerState): void {
    for (const [name, { data }] of this.#averages) {
      const saved = tensors.get(`m.${name}`)?.data;
      if (!(saved instanceof Float32Array) || saved.length !== data.length) {
        throw new Error(`the saved state belongs to another model: ${name} is missing or has another size`);
      }
      data.set(saved);
      this.#steps.set(name, steps[name] ?? 0);
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [model, data, out] = process.argv.slice(2);
  if (!model || !data || !out) throw new Error('usage: lion.ts <model> <data> <out>');
  // Lion's steps are larger than AdamW's, so the rate is a third to a tenth of AdamW's.
  const options = {
    out,
    lr: 3e-6,
    epochs: 1,
    createOptimizer: (parameters: ConstructorParameters<typeof Lion>[0]) => new Lion(parameters),
  };
  for await (const event of finetune(model, data, options)) {
    if (event.type === 'step') console.log(`step ${event.step}: ${event.loss.toFixed(4)}`);
  }
}
