import type { AssignedNodes, EngineSession, EngineTensor } from './engine.ts';

/** A part of a graph that was cut. */
export interface SessionPart {
  readonly session: EngineSession;
  readonly inputs: ReadonlySet<string>;
  readonly outputs: ReadonlySet<string>;
}

/** Sessions that run one after another, as if they were one: each passes values on to later ones. */
export class ChainedSession implements EngineSession {
  readonly #parts: readonly SessionPart[];

  constructor(parts: readonly SessionPart[]) {
    this.#parts = parts;
  }

  async run(feeds: Record<string, EngineTensor>, fetches: Record<string, EngineTensor | null>) {
    const known = { ...feeds };
    const results: Record<string, EngineTensor> = {};
    for (const { session, inputs, outputs } of this.#parts) {
      const given = Object.fromEntries([...inputs].map((name) => [name, known[name]!]));
      const wanted = Object.fromEntries([...outputs].map((name) => [name, fetches[name] ?? null]));
      for (const [name, value] of Object.entries(await session.run(given, wanted))) {
        if (name in fetches) results[name] = value;
        else known[name] = value;
      }
    }
    return results;
  }

  assignedNodes(): AssignedNodes {
    const all: Record<string, Record<string, number>> = {};
    for (const { session } of this.#parts) {
      for (const [provider, counts] of Object.entries(session.assignedNodes?.() ?? {})) {
        all[provider] ??= {};
        for (const [operator, count] of Object.entries(counts))
          all[provider][operator] = (all[provider][operator] ?? 0) + count;
      }
    }
    return all;
  }

  endProfiling(): void {
    for (const { session } of this.#parts) session.endProfiling();
  }

  async release(): Promise<void> {
    for (const { session } of this.#parts) await session.release();
  }
}
