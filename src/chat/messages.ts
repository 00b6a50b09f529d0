import { RopewalkError } from '../errors.ts';

export const ROLES = ['system', 'user', 'assistant'] as const;

export interface ChatMessage {
  readonly role: (typeof ROLES)[number];
  readonly content: string;
}

/** @throws RopewalkError naming the message and what is wrong with it */
export function checkMessages(messages: unknown): asserts messages is readonly ChatMessage[] {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new RopewalkError('a chat needs at least one message: [{ role: "user", content: "Hello" }].');
  }
  messages.forEach((message: unknown, i) => {
    const where = `message ${i + 1} of the chat`;
    if (typeof message !== 'object' || message === null) {
      throw new RopewalkError(`${where} is not an object with "role" and "content".`);
    }
    const { role, content } = message as Record<string, unknown>;
    if (!ROLES.some((known) => known === role)) {
      const given = role === undefined ? 'no role' : `the role ${JSON.stringify(role)}`;
      throw new RopewalkError(`${where} has ${given}; the roles are ${ROLES.join(', ')}.`);
    }
    if (typeof content !== 'string') {
      throw new RopewalkError(`${where} has a "content" that is not a text.`);
    }
  });
}
