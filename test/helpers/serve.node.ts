import { join } from 'node:path';
import { loadHere } from '../../src/generation/load-here.node.ts';
import type { LocalModel } from '../../src/generation/local-model.ts';
import { saveUntrained, scratch } from './models.node.ts';

/** Chats as Qwen 2.5's template writes them, tools and their calls and answers among it. */
export const QWEN_LIKE = `{%- if tools %}
{{- '<system>' }}{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n' }}{%- endif %}
{{- 'Tools:\\n<tools>' }}{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}{{- '\\n</tools><|endoftext|>' }}
{%- elif messages[0].role == 'system' %}{{- '<system>' + messages[0].content + '<|endoftext|>' }}{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' or (message.role == 'assistant' and not message.tool_calls) %}
{{- '<' + message.role + '>' + message.content + '<|endoftext|>' }}
{%- elif message.role == 'assistant' %}
{{- '<assistant>' }}{%- if message.content %}{{- message.content + '\\n' }}{%- endif %}
{%- for call in message.tool_calls %}{%- if not loop.first %}{{- '\\n' }}{%- endif %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}{{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}
{%- endfor %}{{- '<|endoftext|>' }}
{%- elif message.role == 'tool' %}{{- '<tool>' + message.content + '<|endoftext|>' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<assistant>' }}{%- endif %}`;

/** Calls as Llama 3.1's template writes them: a message that is JSON is one. */
export const LLAMA_LIKE = `{%- if tools %}{{- '<system>' }}{%- for tool in tools %}{{- tool | tojson + '\\n' }}{%- endfor %}{{- '<|endoftext|>' }}{%- endif %}
{%- for message in messages %}
{%- if message.tool_calls %}
{%- if message.tool_calls | length != 1 %}{{- raise_exception('This model only supports single tool-calls at once!') }}{%- endif %}
{{- '<assistant>{"name": "' + message.tool_calls[0].function.name + '", "parameters": ' }}{{- message.tool_calls[0].function.arguments | tojson }}{{- '}<|endoftext|>' }}
{%- else %}{{- '<' + message.role + '>' + message.content + '<|endoftext|>' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<assistant>' }}{%- endif %}`;

/** The id of the token that ends a text, in the tokenizers of these models. */
const END = 0;

/** A small model that says anything, in this thread. */
export async function smallModel(
  template = QWEN_LIKE,
  options: Parameters<typeof loadHere>[1] = {},
): Promise<{ readonly model: LocalModel; readonly path: string; remove(): Promise<void> }> {
  const { folder, remove } = scratch('serve');
  const path = join(folder, 'small');
  // The tokenizer's own end of a text.
  await saveUntrained(path, { max_position_embeddings: 4096, eos_token_id: [END] }, 'llama/tiny', template);
  const model = await loadHere(path, { threads: 1, ...options });
  return {
    model,
    path,
    async remove() {
      await model.release();
      remove();
    },
  };
}

/** Sends JSON to a service. */
export function post(
  service: { fetch(request: Request): Promise<Response> },
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return service.fetch(
    new Request(`http://localhost${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    }),
  );
}

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into field by field
export type Json = any;

/** The data of server-sent events, parsed, without `[DONE]`. */
export async function eventsOf(response: Response): Promise<Json[]> {
  const text = await response.text();
  const data = text.split('\n\n').flatMap((event) => /^data: (.*)$/m.exec(event)?.[1] ?? []);
  return data.filter((one) => one !== '[DONE]').map((one) => JSON.parse(one));
}
