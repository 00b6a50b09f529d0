import type { CompletionEnd } from '../../generation/completion/completion.ts';
import type { LikelyText, ScoredText, TokenText } from '../../generation/completion/token-scores.ts';
import { ApiError } from '../api-error.ts';
import type { Ask, CompletionJob } from '../jobs.ts';
import { samplingOf, schemaOf, stopOf } from '../schemas/common.ts';
import { type CompletionsRequest, promptsOf } from '../schemas/completions.ts';
import type { StreamEvent } from '../sse.ts';
import { finishReason, finite } from './chat.ts';
import { anySeed, type Call, noteUsage, seedOf, streamed, usageOf } from './endpoint.ts';

/** The default token limit, as in OpenAI's API. */
const DEFAULT_TOKENS = 16;

/** POST /v1/completions */
export async function completion(request: CompletionsRequest, call: Call): Promise<Response> {
  const asks = asksOf(request);
  const job = await call.jobs.begin(request.model, asks, call);
  const head = { id: call.id, object: 'text_completion', created: call.created, model: request.model };
  if (request.stream) return streamed(call, job, chunksOf(request, asks, job, head));
  const choices = asks.map(() => ({
    text: '',
    scores: new ScoreLists(),
    end: undefined as CompletionEnd | undefined,
  }));
  try {
    for await (const event of job.events()) {
      const choice = choices[event.index]!;
      if ('end' in event) choice.end = event.end;
      else if (event.piece.type !== 'call') {
        choice.text += event.piece.text ?? '';
        choice.scores.add(event.piece.scores);
      }
    }
  } finally {
    noteUsage(call, job);
  }
  return Response.json({
    ...head,
    choices: choices.map(({ text, scores, end }, index) => ({
      ...{ index, text, finish_reason: finishReason(end!) },
      logprobs: wantsScores(request) ? scores.lists : null,
    })),
    usage: usageOf(job),
  });
}

function wantsScores({ logprobs }: CompletionsRequest): boolean {
  return logprobs !== null && logprobs !== undefined;
}

function asksOf(request: CompletionsRequest): Ask[] {
  const { n, best_of: best, echo, logprobs } = request;
  if (best && best !== (n ?? 1)) {
    throw new ApiError(400, 'best_of: it is not supported; request n completions and choose one yourself.', {
      param: 'best_of',
      code: 'unknown_parameter',
    });
  }
  const fallback = anySeed();
  const options = {
    ...samplingOf(request),
    maxTokens: request.max_tokens ?? DEFAULT_TOKENS,
    stop: stopOf(request.stop),
    jsonSchema: schemaOf(request.response_format),
    scores: logprobs ?? (echo ? 0 : undefined),
    scoresPrompt: echo === true,
  };
  return promptsOf(request.prompt).flatMap((prompt, promptIndex) =>
    Array.from({ length: n ?? 1 }, (_, i) => ({
      prompt,
      promptIndex,
      options: { ...options, seed: seedOf(request.seed, i, fallback) },
    })),
  );
}

async function* chunksOf(
  request: CompletionsRequest,
  asks: readonly Ask[],
  job: CompletionJob,
  head: object,
): AsyncGenerator<StreamEvent, void> {
  const usage = request.stream_options?.include_usage === true;
  const noUsage = usage ? { usage: null } : {};
  const scores = asks.map(() => new ScoreLists());
  const chunk = (
    index: number,
    text: string,
    logprobs: object | null,
    reason: string | null,
  ): StreamEvent => ({
    data: { ...head, choices: [{ index, text, logprobs, finish_reason: reason }], ...noUsage },
  });
  for await (const event of job.events()) {
    const { index } = event;
    if ('end' in event) yield chunk(index, '', null, finishReason(event.end));
    else if (event.piece.type !== 'call') {
      const { text, scores: added } = event.piece;
      if (text === undefined && !added) continue;
      const lists = wantsScores(request) ? scores[index]!.add(added) : null;
      yield chunk(index, text ?? '', lists, null);
    }
  }
  if (usage) yield { data: { ...head, choices: [], usage: usageOf(job) } };
  yield { data: '[DONE]' };
}

interface Lists {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}

const newLists = (): Lists => ({ tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] });

/** Log-probabilities in the format of the older API: parallel lists. */
class ScoreLists {
  readonly lists = newLists();
  #offset = 0;

  /** @returns what was added. */
  add(scores: readonly (Omit<ScoredText, 'logprob'> & { readonly logprob: number | null })[] = []): Lists {
    const added = newLists();
    for (const scored of scores) {
      const token = name(scored);
      added.tokens.push(token);
      added.token_logprobs.push(scored.logprob === null ? null : finite(scored.logprob));
      added.top_logprobs.push(scored.logprob === null ? null : likelyOf(scored as ScoredText));
      added.text_offset.push(this.#offset);
      this.#offset += scored.token.length;
    }
    for (const key of Object.keys(added) as (keyof Lists)[]) {
      for (const item of added[key]) (this.lists[key] as unknown[]).push(item);
    }
    return added;
  }
}

/** The most likely tokens by their text, and the generated one. */
function likelyOf(scored: ScoredText): Record<string, number> {
  const all: LikelyText[] = [...scored.top];
  if (!all.some(({ id }) => id === scored.id)) all.push(scored);
  const likely: Record<string, number> = {};
  // Of two with the same text, the more likely one stays.
  for (const one of all) likely[name(one)] ??= finite(one.logprob);
  return likely;
}

/** A token's text, or its bytes if they are part of a character. */
function name({ token, bytes }: TokenText): string {
  if (!token.includes('\ufffd') || bytes === null) return token;
  return `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
}
