/** For each signal that is listened to: who listens, and the one listener that tells them all. */
const listening = new WeakMap<AbortSignal, { readonly all: Set<() => void>; readonly tell: () => void }>();

/**
 * Calls a function when a signal aborts. However many wait for one signal, it has one listener: Node warns of a leak from
 * eleven on, and a program may well give one signal to more calls than that.
 *
 * @returns ends the waiting; to be called in any case.
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
  // Two that wait may give the same function.
  const entry = () => listener();
  all.add(entry);
  return () => {
    all.delete(entry);
    if (all.size > 0 || listening.get(signal)?.all !== all) return;
    listening.delete(signal);
    signal.removeEventListener('abort', tell);
  };
}
