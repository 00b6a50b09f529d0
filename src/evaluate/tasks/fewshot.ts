import { RopewalkError } from '../../errors.ts';
import { PythonRandom } from '../python/random.ts';
import { type Doc, equalValues } from '../python/values.ts';
import type { TaskConfig } from './config.ts';

/** The default seed of the harness's command line. */
const SEED = 1234;

/** Chooses the examples before each item, in the order of items: draws depend on earlier ones. */
export class FewshotSampler {
  readonly #random = new PythonRandom(SEED);

  /** @param pool rows that may be examples. */
  constructor(
    readonly config: TaskConfig,
    readonly pool: readonly Doc[],
  ) {}

  /**
   * @param item the current row: it is not its own example if both are from one split.
   * @throws RopewalkError naming the task, if there are not enough rows.
   */
  sample(count: number, item: Doc): readonly Doc[] {
    if (count === 0) return [];
    const { splits, fewshot } = this.config;
    const without = splits.fewshot === splits.test ? item : undefined;
    const others = (docs: readonly Doc[]) =>
      without === undefined ? docs : docs.filter((doc) => !equalValues(doc, without));
    if (fewshot.sampler === 'first_n') return this.#enough(others(this.pool).slice(0, count), count);
    const wanted = without === undefined ? count : count + 1;
    this.#enough(this.pool.slice(0, wanted), wanted);
    const drawn = others(this.#random.sample(this.pool, wanted)).slice(0, count);
    if (drawn.length === count) return drawn;
    // Copies of the item have been drawn with it.
    const rest = others(this.pool);
    this.#enough(rest, count);
    return this.#random.sample(rest, count);
  }

  #enough(docs: readonly Doc[], count: number): readonly Doc[] {
    if (docs.length >= count) return docs;
    throw new RopewalkError(
      `task "${this.config.name}": ${count} examples are needed before an item, but the split for examples has ${this.pool.length} rows; ask for fewer shots`,
    );
  }
}
