/** For each signal with listeners: all of them, and the one listener that calls them. */
const listening = new WeakMap<AbortSignal, { readonly all: Set<() => void>; readonly tell: () => void }>();

/**
 * Calls a function when a signal aborts. A signal gets one listener however many callers wait for it: Node warns of a
 * leak from eleven on, and a program may well pass one signal to more calls than that.
 *
 * @returns stops listening; must always be called.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (!signal) return () => {};
  let known = listening.get(signal);
  if (!known) {
    const all = new Set<() => void>();
    const tell = () => {
      for (const each of [...all]) if (all.has(each)) each();
    };
    known = { all, tell };
    listening.set(signal, known);
    signal.addEventListener('abort', tell, { once: true });
  }
  const { all, tell } = known;
  // Two callers may pass the same function.
  const entry = () => listener();
  all.add(entry);
  return () => {
    all.delete(entry);
    if (all.size > 0 || listening.get(signal)?.all !== all) return;
    listening.delete(signal);
    signal.removeEventListener('abort', tell);
  };
}
