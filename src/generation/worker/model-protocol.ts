import { type MessagePart, RopewalkError } from '../../errors.ts';
import type { CommonConfig } from '../../families/config.ts';
import type { Batching } from '../completion/scheduler.ts';
import type { SamplingOptions } from '../sampler.ts';

/**
 * The messages between a model in another thread and its proxy. Everything can be cloned: functions stay on their
 * side, and their calls are sent as events; a signal is sent as `cancel`.
 */

/** Calls with a single answer. `load` comes first, and is answered with {@link ModelFacts}. */
export type CallName = 'load' | 'encode' | 'decode' | 'score' | 'logits' | 'run';

/** Calls that are answered piece by piece. */
export type StreamName = 'generate' | 'generateTokens' | 'chat' | 'complete';

export type Request =
  | {
      readonly type: 'call';
      readonly id: number;
      readonly method: CallName;
      readonly subject: unknown;
      readonly options: object;
      /** Names of options that are functions of one argument; they are called through events. */
      readonly events: readonly string[];
    }
  | {
      readonly type: 'stream';
      readonly id: number;
      readonly method: StreamName;
      readonly subject: unknown;
      readonly options: object;
      /** How many pieces may be sent before the consumer asks for more. */
      readonly credit: number;
    }
  | { readonly type: 'credit'; readonly id: number; readonly count: number }
  | { readonly type: 'cancel'; readonly id: number }
  | { readonly type: 'release' };

/** Only for worker threads: stop where nothing of the engine runs, set the number to 1, and wait to be terminated. */
export interface ParkRequest {
  readonly type: 'park';
  readonly parked: Int32Array;
}

export type Reply =
  | { readonly type: 'event'; readonly id: number; readonly name: string; readonly value: unknown }
  | { readonly type: 'item'; readonly id: number; readonly value: unknown }
  | { readonly type: 'done'; readonly id: number; readonly value: unknown }
  | { readonly type: 'failed'; readonly id: number; readonly error: PackedError };

/** What a proxy knows of its model. */
export interface ModelFacts {
  readonly family: string;
  readonly config: CommonConfig;
  readonly maxPositions: number;
  readonly stopTokens: readonly number[];
  readonly sampling: SamplingOptions;
  readonly warnings: readonly string[];
  readonly batching: Batching;
}

/** An error as data: cloning would turn a RopewalkError into a plain Error. */
export interface PackedError {
  readonly ropewalk: boolean;
  readonly name: string;
  readonly message: string;
  /** For a RopewalkError: the message with the options that it names. */
  readonly parts: readonly MessagePart[] | undefined;
  readonly stack: string | undefined;
  readonly cause: PackedError | undefined;
}

const BUILT_IN = { TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError };

export function packError(thrown: unknown): PackedError {
  if (!(thrown instanceof Error)) {
    const message = String(thrown);
    return { ropewalk: false, name: 'Error', message, parts: undefined, stack: undefined, cause: undefined };
  }
  const { name, message, stack, cause } = thrown;
  const packed = cause instanceof Error && cause !== thrown ? packError(cause) : undefined;
  const parts = thrown instanceof RopewalkError ? thrown.parts : undefined;
  return { ropewalk: parts !== undefined, name, message, parts, stack, cause: packed };
}

export function unpackError({ ropewalk, name, message, parts, stack, cause }: PackedError): Error {
  const options = cause && { cause: unpackError(cause) };
  const BuiltIn = BUILT_IN[name as keyof typeof BUILT_IN] ?? Error;
  const error = ropewalk ? new RopewalkError(parts ?? message, options) : new BuiltIn(message, options);
  if (error.name !== name) error.name = name;
  if (stack !== undefined) error.stack = stack;
  return error;
}
