import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';
import pc from 'picocolors';
import { messageText, RopewalkError } from '../../errors.ts';
import { agree } from '../../ranks/agree.ts';
import type { Communicator, CommunicatorOptions } from '../../ranks/communicator.ts';
import { joinRanks } from '../../ranks/mpi.node.ts';
import { together as allTogether, SharedError } from '../../ranks/together.ts';
import { asFlag } from '../options/spelling.ts';
import { packageVersion } from '../package-file.ts';
import { isInterruption } from '../terminal/interrupt.ts';
import { printable } from '../terminal/printable.ts';
import { silence } from '../terminal/silence.ts';

/** The beginning of a sentence. */
export const IF_ONE_IS_LOST =
  'If one of them is lost, the job ends; to continue from what was saved, run the same command';

/** How long other ranks wait so that the first one can report an error that all of them found. */
const FIRST_REPORTS_MS = 1000;

/**
 * Runs a command's action in every process of an MPI job, or alone. An error in one process ends all of them: the
 * others would wait for it forever.
 */
export async function withRanks(action: (ranks: Communicator | undefined) => Promise<void>): Promise<void> {
  const ranks = joinRanks(timeout());
  if (!ranks) return action(undefined);
  if (ranks.rank > 0) silence();
  try {
    await agree(ranks, versions());
    await action(ranks);
  } catch (error) {
    if (error instanceof SharedError) {
      await ranks.leave();
      throw error.cause;
    }
    if (ranks.rank > 0) await pause(FIRST_REPORTS_MS);
    complain(ranks, error);
    ranks.abort(isInterruption(error) ? 130 : 1);
  }
  await ranks.leave();
}

/** Seconds without an answer from another rank, after which it is considered lost. */
const TIMEOUT = 'ROPEWALK_RANKS_TIMEOUT';

/** @throws RopewalkError if the variable's value is not a number of seconds. */
function timeout(): CommunicatorOptions {
  const text = process.env[TIMEOUT];
  if (text === undefined || text === '') return {};
  const seconds = Number(text);
  if (seconds > 0 && Number.isFinite(seconds)) return { timeoutMs: 1000 * seconds };
  throw new RopewalkError(`${TIMEOUT} is "${text}"; give a number of seconds above 0.`);
}

/** The programs that compute: they must be the same on every rank. */
function versions(): Record<string, string> {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  return { 'version of Ropewalk': packageVersion(), 'version of ONNX Runtime': version };
}

/** Runs what every rank does before joint work; see {@link allTogether}. */
export function together<T>(ranks: Communicator | undefined, action: () => Promise<T>): Promise<T> {
  return allTogether(ranks, action, textOf);
}

function textOf(error: unknown): string {
  if (error instanceof RopewalkError) return messageText(error.parts, asFlag);
  return isInterruption(error) ? 'interrupted' : String(error instanceof Error ? error.message : error);
}

function complain({ rank, size }: Communicator, error: unknown): void {
  const text =
    error instanceof RopewalkError || isInterruption(error)
      ? textOf(error)
      : String(error instanceof Error ? error.stack : error);
  process.stderr.write(`${pc.red('ropewalk:')} rank ${rank} of ${size}: ${printable(text)}\n`);
}
