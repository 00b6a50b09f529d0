import type { TrainingRows } from '../batches.ts';
import type { CausalLM } from '../families/family.ts';
import type { Engine, SessionSettings } from '../runtime/engine.ts';
import { Executable, type HostTensor } from '../runtime/executable.ts';
import { contextFeeds, countOf, lossFeeds } from './feeds.ts';
import { lossGraph, type SequenceShape } from './graph.ts';
import type { Loss } from './loss.ts';

/** Mean losses over held-out rows. The graph is compiled on first use. */
export class Evaluator {
  readonly #compile: () => Promise<Executable>;
  readonly #shape: SequenceShape;
  #executable: Promise<Executable> | undefined;

  /** @param loss next-token cross-entropy by default. */
  constructor(
    engine: Engine,
    model: CausalLM,
    shape: SequenceShape,
    { loss, settings }: { readonly loss?: Loss | undefined; readonly settings?: SessionSettings | undefined },
  ) {
    this.#shape = shape;
    this.#compile = () =>
      Executable.compile(engine, new Map([['loss', lossGraph(model, shape, loss).loss]]), settings);
  }

  /**
   * @param weights every parameter by its path.
   * @returns the mean loss in nats over the counted tokens of all batches, and the number of tokens.
   */
  async evaluate(
    batches: Iterable<TrainingRows> | AsyncIterable<TrainingRows>,
    weights: Readonly<Record<string, HostTensor>>,
  ): Promise<{ loss: number; tokens: number }> {
    this.#executable ??= this.#compile();
    const executable = await this.#executable;
    let sum = 0;
    let tokens = 0;
    for await (const rows of batches) {
      const feeds = { ...contextFeeds(rows, this.#shape), ...lossFeeds(rows, 1), ...weights };
      const { loss } = await executable.run(feeds);
      sum += (loss!.data as Float32Array)[0]!;
      tokens += countOf(rows);
    }
    return { loss: sum / tokens, tokens };
  }

  async release(): Promise<void> {
    await (await this.#executable)?.release();
  }
}

/** All weights of a model as graph inputs. */
export function weightFeeds(
  model: CausalLM,
  values: ReadonlyMap<string, Float32Array>,
): Record<string, HostTensor> {
  const parameters = model.parameters();
  return Object.fromEntries(
    [...values].map(([name, data]) => [name, { data, shape: parameters.get(name)!.shape }]),
  );
}
