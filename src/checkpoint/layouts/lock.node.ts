import { isAlive, type Lock, lookAtLock, removeLock, takeLock } from '../../files/lock-file.node.ts';

/** A lock whose owner has not refreshed it for this long is abandoned. */
const ABANDONED_MS = 60_000;
/** What other programs are left of a disk, in bytes. */
export const RESERVE = 1e9;

/** Takes a lock, or that of an owner who is gone; undefined if another process holds it. */
export async function lockUnlessHeld(path: string): Promise<Lock | undefined> {
  const lock = await takeLock(path);
  if (lock) return lock;
  const seen = await lookAtLock(path);
  const isGone = seen && (isAlive(seen.text) === false || Date.now() - seen.time > ABANDONED_MS);
  if (!isGone) return undefined;
  await removeLock(path, seen.text);
  return takeLock(path);
}
