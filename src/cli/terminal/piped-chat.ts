import { type ChatMessage, checkMessages } from '../../chat/messages.ts';
import { RopewalkError } from '../../errors.ts';
import { readLines } from '../../files/lines.ts';
import type { Conversation } from './conversation.ts';
import { INTERRUPTED, interruptSignal } from './interrupt.ts';
import { forOutput, printable } from './printable.ts';

/** The request of a line: a message of the chat, or a separate chat that ends with one. */
interface Asked {
  readonly content: string;
  readonly before?: readonly ChatMessage[];
}

/**
 * A chat in a pipe: every non-blank line is a message, and its reply is printed with a line break. With `json` each
 * line is JSON, and so is each reply.
 *
 * A message that exceeds the model's positions begins a new chat; if it still cannot be answered, it is reported with
 * its line, leaves an empty line in place of its reply, and the exit code is 1. The others are answered.
 */
export async function answerLines(
  conversation: Conversation,
  input: NodeJS.ReadableStream,
  { json }: { readonly json: boolean },
): Promise<void> {
  const { signal, dispose } = interruptSignal(() => (input as NodeJS.ReadStream).destroy());
  let number = 0;
  try {
    for await (const line of readLines(input as AsyncIterable<Buffer>)) {
      number++;
      if (signal.aborted) break;
      if (/^[ \t\r]*$/.test(line)) continue;
      await answer(conversation, line, { number, json, signal });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    dispose();
  }
  if (signal.aborted) process.exitCode = INTERRUPTED;
}

async function answer(
  conversation: Conversation,
  line: string,
  { number, json, signal }: { readonly number: number; readonly json: boolean; readonly signal: AbortSignal },
): Promise<void> {
  let text = '';
  const show = (piece: string) => {
    text += piece;
    if (!json) process.stdout.write(forOutput(piece));
  };
  const end = (value: object) => process.stdout.write(json ? `${JSON.stringify(value)}\n` : '\n');
  try {
    const asked = json ? parseLine(line) : { content: line };
    if (asked.before) conversation.reset(asked.before);
    if (!asked.before && !conversation.isEmpty && !conversation.fits(asked.content)) {
      note(number, "the chat exceeds the model's positions; a new one begins with this message.");
      conversation.reset();
    }
    end({ end: await conversation.reply(asked.content, show, signal), content: text });
  } catch (error) {
    if (!(error instanceof RopewalkError)) throw error;
    note(number, error.message);
    process.exitCode = 1;
    end({ error: error.message });
  }
}

function note(line: number, message: string): void {
  process.stderr.write(
    `ropewalk: line ${line} of the input: ${printable(message.replaceAll(/\s*\n\s*/g, ' '))}\n`,
  );
}

/** @throws RopewalkError for an invalid message. */
function parseLine(line: string): Asked {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new RopewalkError('it is not JSON; without --json, lines are plain messages.', {
      cause: error,
    });
  }
  if (typeof value === 'string') return { content: value };
  const { content, role = 'user', messages } = (value ?? {}) as Record<string, unknown>;
  if (typeof content === 'string' && role === 'user') return { content };
  const all = Array.isArray(value) ? value : messages;
  if (all === undefined) {
    throw new RopewalkError(
      'it is not a message: give a JSON string, {"content": text}, or {"messages": […]} that end with a user message.',
    );
  }
  checkMessages(all);
  const last = all.at(-1);
  if (last?.role !== 'user') throw new RopewalkError('the last of its messages must be of the role "user".');
  if (typeof last.content !== 'string')
    throw new RopewalkError('the "content" of its last message must be a string.');
  return { content: last.content, before: all.slice(0, -1) };
}
