import type { Settings, Turn } from './store.ts';

/** The server that this page comes from. */

const headers = (key: string): Record<string, string> =>
  key === '' ? {} : { Authorization: `Bearer ${key}` };

/** @throws Error with the server's own words. */
async function failure(response: Response): Promise<Error> {
  const body = (await response.json().catch(() => undefined)) as { error?: { message?: string } } | undefined;
  return new Error(body?.error?.message ?? `HTTP ${response.status}`);
}

export async function listModels(key: string): Promise<string[]> {
  const response = await fetch('v1/models', { headers: headers(key) });
  if (!response.ok) throw await failure(response);
  const { data } = (await response.json()) as { data: { id: string }[] };
  return data.map(({ id }) => id);
}

export interface ChatEvents {
  readonly onText: (text: string) => void;
  readonly onFinish: (finish: string) => void;
  readonly onUsage: (promptTokens: number, tokens: number) => void;
}

interface Chunk {
  readonly choices: readonly {
    readonly delta: { readonly content?: string | null };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
  readonly error?: { readonly message: string };
}

/** The fields of a request by the form; empty ones are the model's own. */
function numbers({ system: _, ...settings }: Settings): Record<string, number> {
  return Object.fromEntries(
    Object.entries(settings)
      .filter(([, value]) => value.trim() !== '')
      .map(([name, value]) => [name, Number(value)]),
  );
}

/** A chat as one model knows it. */
function messagesOf(model: string, system: string, turns: readonly Turn[], prompt: string) {
  const said = turns.flatMap(({ prompt: asked, replies }) => {
    const text = replies[model]?.text;
    return text
      ? [
          { role: 'user', content: asked },
          { role: 'assistant', content: text },
        ]
      : [];
  });
  const first = system.trim() === '' ? [] : [{ role: 'system', content: system }];
  return [...first, ...said, { role: 'user', content: prompt }];
}

/** Streams a reply. @throws Error */
export async function streamChat(
  asked: {
    readonly model: string;
    readonly key: string;
    readonly settings: Settings;
    readonly turns: readonly Turn[];
    readonly prompt: string;
  },
  signal: AbortSignal,
  { onText, onFinish, onUsage }: ChatEvents,
): Promise<void> {
  const { model, key, settings, turns, prompt } = asked;
  const response = await fetch('v1/chat/completions', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers(key) },
    body: JSON.stringify({
      model,
      messages: messagesOf(model, settings.system, turns, prompt),
      ...numbers(settings),
      stream: true,
      stream_options: { include_usage: true },
    }),
    signal,
  });
  if (!response.ok || !response.body) throw await failure(response);
  let rest = '';
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const events = rest.split('\n\n');
    rest = events.pop()!;
    for (const event of events) {
      const data = /^data: (.*)$/m.exec(event)?.[1];
      if (data === undefined || data === '[DONE]') continue;
      const { choices = [], usage, error } = JSON.parse(data) as Chunk;
      if (error) throw new Error(error.message);
      const [choice] = choices;
      if (choice?.delta.content) onText(choice.delta.content);
      if (choice?.finish_reason) onFinish(choice.finish_reason);
      if (usage) onUsage(usage.prompt_tokens, usage.completion_tokens);
    }
  }
}
