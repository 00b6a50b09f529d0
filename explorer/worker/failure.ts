import { RopewalkError } from '../../src/errors.ts';

/**
 * `expected`: its message says what to do. `memory`: there is none left, and the engine may be beyond use. `unexpected`: a
 * fault of the page.
 */
export type FailureKind = 'expected' | 'memory' | 'unexpected';

export interface Failure {
  readonly message: string;
  readonly kind: FailureKind;
}

/** What browsers and engines say when memory ends; the engine's WebAssembly then stops for good. */
const MEMORY =
  /out of memory|bad_alloc|allocation failed|failed to allocate|could not be cloned.*memory|Aborted\(|memory access out of bounds|unreachable/i;

/** An error as it is told to the page. */
export function failureOf(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof RopewalkError) return { message, kind: 'expected' };
  const isMemory = error instanceof WebAssembly.RuntimeError || MEMORY.test(message);
  return { message, kind: isMemory ? 'memory' : 'unexpected' };
}
