import type { Frame } from './scopes.ts';
import type { Value } from './values.ts';

/** The values of a frame's names at run time; undefined means not yet assigned. */
export class Scope {
  readonly #values = new Map<string, Value | undefined>();

  /** @param given the template's inputs */
  constructor(
    frame: Frame,
    given: ReadonlyMap<string, Value>,
    readonly parent?: Scope,
  ) {
    for (const [name, load] of frame.loads) {
      if (load === 'outer') this.#values.set(name, parent?.get(name));
      else this.#values.set(name, load === 'given' ? given.get(name) : undefined);
    }
  }

  get(name: string): Value | undefined {
    if (this.#values.has(name)) return this.#values.get(name);
    return this.parent?.get(name);
  }

  set(name: string, value: Value): void {
    this.#values.set(name, value);
  }
}
