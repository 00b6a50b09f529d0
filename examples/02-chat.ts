/*
 * Two turns of a chat. With `remember`, the second turn computes only what is new.
 *
 *     node examples/02-chat.ts path/to/model      (Node 22.18 or newer)
 */
import { fileURLToPath } from 'node:url';
import { type ChatMessage, load } from 'ropewalk';

export async function chat(
  path: string,
  questions: readonly string[],
  template?: string,
): Promise<ChatMessage[]> {
  const model = await load(path);
  const messages: ChatMessage[] = [];
  try {
    for (const question of questions) {
      messages.push({ role: 'user', content: question });
      let reply = '';
      const options = { maxTokens: 40, greedy: true, remember: true, ...(template && { template }) };
      for await (const piece of model.chat(messages, options)) reply += piece;
      messages.push({ role: 'assistant', content: reply });
    }
  } finally {
    await model.release();
  }
  return messages;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [path] = process.argv.slice(2);
  if (!path) throw new Error('usage: 02-chat.ts <model>');
  for (const { role, content } of await chat(path, ['Why is the sky blue?', 'And at night?'])) {
    console.log(`${role}: ${content}`);
  }
}
