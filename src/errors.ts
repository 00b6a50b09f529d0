/**
 * An error that a user can act on: one line that names the file, field or argument and the remedy.
 * The command line prints its message alone, without a stack; anything else is a bug of ours.
 */
export class RopewalkError extends Error {
  override name = 'RopewalkError';
}
