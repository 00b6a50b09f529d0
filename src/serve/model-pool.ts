import { RopewalkError } from '../errors.ts';
import type { LanguageModel } from '../generation/language-model.ts';
import { ApiError } from './api-error.ts';

/** A model that is already loaded and stays its owner's, or a function that loads one on its first request. */
export type ServedModel = LanguageModel | (() => Promise<LanguageModel>);

export interface Lease {
  readonly model: LanguageModel;
  release(): void;
}

type OnChange = (name: string, what: 'loaded' | 'released', model: LanguageModel) => void;

interface Place {
  readonly source: ServedModel;
  readonly created: number;
  loading: Promise<LanguageModel> | undefined;
  loaded: LanguageModel | undefined;
  users: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Models by name: loaded at first use, released after some time without use. */
export class ModelPool {
  readonly #places: ReadonlyMap<string, Place>;
  readonly #idleMs: number | undefined;
  readonly #onChange: OnChange;

  /** @param idleMs after this time without use, a model is released; default never. */
  constructor(models: Readonly<Record<string, ServedModel>>, idleMs?: number, onChange: OnChange = () => {}) {
    const created = Math.floor(Date.now() / 1000);
    const entries = Object.entries(models).map(([name, source]): [string, Place] => [
      name,
      { source, created, loading: undefined, loaded: undefined, users: 0, timer: undefined },
    ]);
    if (entries.length === 0) throw new RopewalkError('there is no model to serve; name at least one.');
    this.#places = new Map(entries);
    this.#idleMs = idleMs;
    this.#onChange = onChange;
  }

  /** Names, and the time since which they have been served, in seconds since 1970. */
  get names(): { readonly name: string; readonly created: number; readonly loaded: boolean }[] {
    return [...this.#places].map(([name, { created, loaded }]) => ({
      name,
      created,
      loaded: loaded !== undefined,
    }));
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  /**
   * A model that stays loaded until its lease is released.
   *
   * @throws ApiError: 404 for an unknown name, 503 if it cannot be loaded.
   */
  async lease(name: string): Promise<Lease> {
    const place = this.#places.get(name);
    if (!place) {
      const served = [...this.#places.keys()].join(', ');
      throw new ApiError(
        404,
        `the model ${JSON.stringify(name.slice(0, 100))} is not served here; served: ${served}.`,
        {
          param: 'model',
          code: 'model_not_found',
        },
      );
    }
    place.users++;
    clearTimeout(place.timer);
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      if (--place.users === 0) this.#expire(name, place);
    };
    try {
      return { model: await this.#load(name, place), release };
    } catch (error) {
      release();
      const why = error instanceof RopewalkError ? error.message : 'it cannot be loaded';
      throw new ApiError(503, `the model ${name} is not available: ${why}`, { code: 'model_not_loaded' });
    }
  }

  /** Forgets a model whose thread has ended, so that the next request loads it again. */
  forget(name: string, model: LanguageModel): void {
    const place = this.#places.get(name);
    if (place?.loaded !== model || typeof place.source !== 'function') return;
    place.loading = undefined;
    place.loaded = undefined;
  }

  /** Releases the models that were loaded here. */
  async close(): Promise<void> {
    await Promise.all(
      [...this.#places.values()].map(async (place) => {
        clearTimeout(place.timer);
        const { loading } = place;
        place.loading = undefined;
        if (typeof place.source === 'function') await (await loading?.catch(() => undefined))?.release();
      }),
    );
  }

  async #load(name: string, place: Place): Promise<LanguageModel> {
    const { source } = place;
    if (typeof source !== 'function') {
      place.loaded = source;
      return source;
    }
    const loading = place.loading ?? source();
    place.loading = loading;
    try {
      const model = await loading;
      if (place.loaded !== model) this.#onChange(name, 'loaded', model);
      place.loaded = model;
      return model;
    } catch (error) {
      if (place.loading === loading) place.loading = undefined;
      throw error;
    }
  }

  #expire(name: string, place: Place): void {
    if (this.#idleMs === undefined || typeof place.source !== 'function') return;
    place.timer = setTimeout(() => {
      const { loaded } = place;
      if (place.users > 0 || !loaded) return;
      place.loading = undefined;
      place.loaded = undefined;
      this.#onChange(name, 'released', loaded);
      void loaded.release();
    }, this.#idleMs);
    (place.timer as { unref?: () => void }).unref?.();
  }
}
