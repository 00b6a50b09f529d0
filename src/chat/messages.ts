import { RopewalkError } from '../errors.ts';

const ROLES = ['system', 'user', 'assistant', 'tool'] as const;

/** A part of a message's content. */
export interface TextPart {
  readonly type: 'text';
  readonly text: string;
}

/** A message in the format of transformers. */
export interface ChatMessage {
  readonly role: (typeof ROLES)[number];
  /** A string, or parts of text if the template accepts them; null with tool calls. */
  readonly content: string | readonly TextPart[] | null;
  /** The assistant's tool calls, in the form that the template requires. */
  readonly tool_calls?: readonly unknown[] | null;
  /** Other fields that the template may read: name, tool_call_id, reasoning_content. */
  readonly [field: string]: unknown;
}

/** The characters of a message's content. */
export function contentText({ content }: ChatMessage): string {
  return typeof content === 'string' ? content : (content ?? []).map(({ text }) => text).join('');
}

/** @throws RopewalkError naming the invalid message and the reason */
export function checkMessages(messages: unknown): asserts messages is readonly ChatMessage[] {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new RopewalkError('a chat needs at least one message: [{ role: "user", content: "Hello" }].');
  }
  messages.forEach((message: unknown, i) => {
    const where = `message ${i + 1} of the chat`;
    if (typeof message !== 'object' || message === null) {
      throw new RopewalkError(`${where} is not an object with "role" and "content".`);
    }
    const { role, content, tool_calls: calls, function_call: call } = message as Record<string, unknown>;
    if (!ROLES.some((known) => known === role)) {
      const given = role === undefined ? 'no role' : `the role ${JSON.stringify(role)}`;
      throw new RopewalkError(`${where} has ${given}; the roles are ${ROLES.join(', ')}.`);
    }
    if (calls !== undefined && calls !== null && !Array.isArray(calls)) {
      throw new RopewalkError(`${where} has "tool_calls" that is not a list; use a list of calls.`);
    }
    if (call !== undefined && call !== null) {
      throw new RopewalkError(
        `${where} has a "function_call", the older form of tool calls, which templates do not read; use "tool_calls": [{"type": "function", "function": …}].`,
      );
    }
    const callsTools = role === 'assistant' && Array.isArray(calls) && calls.length > 0;
    if (typeof content === 'string' || (callsTools && (content === null || content === undefined))) return;
    checkContent(content, where);
  });
}

function checkContent(content: unknown, where: string): void {
  if (!Array.isArray(content)) {
    throw new RopewalkError(`${where} has "content" that is not a string.`);
  }
  for (const part of content as unknown[]) {
    const { type, text } = (part ?? {}) as Record<string, unknown>;
    if (type === 'text' && typeof text === 'string') continue;
    throw new RopewalkError(
      `${where} has a part of "content" that is not text (${JSON.stringify(type ?? part).slice(0, 40)}); write parts as {"type": "text", "text": …}: only text is supported.`,
    );
  }
}
