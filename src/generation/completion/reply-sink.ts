import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { TextStream } from '../text-stream.ts';
import type { CompletionOptions } from './completion.ts';
import type { Inbox } from './inbox.ts';
import type { SequenceRequest, SequenceSink } from './sequence.ts';
import { type ScoredText, type ScoredToken, scoredText, tokenText } from './token-scores.ts';
import type { ToolConstraint } from './tool-constraint.ts';

export interface ReplySettings {
  readonly tokenizer: Tokenizer;
  readonly prompt: readonly number[];
  readonly options: CompletionOptions & {
    readonly maxTokens: number;
    readonly stopTokens: readonly number[];
  };
  /** Whether it is a chat message: a token that ends a turn is not part of its text. */
  readonly isChat: boolean;
  /** @property marker the text before a call; empty if a reply that is JSON is a call. */
  readonly tools?: { readonly constraint: ToolConstraint; readonly marker: string } | undefined;
  readonly inbox: Inbox;
}

/** Turns the tokens of a completion into text, calls and scores. */
export class ReplySink implements SequenceSink {
  /** The options for choosing tokens. */
  readonly generation: SequenceRequest['options'];
  readonly #settings: ReplySettings;
  #stream: TextStream;
  #scores: ScoredText[] = [];
  #count = 0;
  #calls = 0;
  /** Whether the last token was part of a call. */
  #inCall: boolean;
  /** White space that has not been sent: it is not part of the text if a call follows. */
  #space = '';

  /** @throws RopewalkError as `TextStream`. */
  constructor(settings: ReplySettings) {
    this.#settings = settings;
    this.#stream = this.#newStream();
    const constraint = settings.tools?.constraint;
    this.#inCall = constraint?.calling === true;
    this.generation = { ...this.#stream.options, ...(constraint && { constraint }) };
  }

  prompt(cached: number, scores: readonly ScoredToken[]): void {
    const { tokenizer, prompt, options, inbox } = this.#settings;
    if (!options.scoresPrompt) {
      inbox.push({ type: 'prompt', cached });
      return;
    }
    const first = { id: prompt[0]!, logprob: null, top: [], ...tokenText(tokenizer, prompt[0]!) };
    const all = [first, ...scores.map((score) => scoredText(tokenizer, score))];
    inbox.push({ type: 'prompt', cached, text: tokenizer.decode(prompt), scores: all });
  }

  token(id: number, score: ScoredToken | undefined): boolean {
    const { tokenizer, isChat, options, tools } = this.#settings;
    this.#count++;
    if (score && !(isChat && options.stopTokens.includes(id)))
      this.#scores.push(scoredText(tokenizer, score));
    const calling = tools?.constraint.calling === true;
    const wasCalling = this.#inCall;
    this.#inCall = calling;
    // The token that completes the marker ends the text; without a marker, the token that begins JSON is not part of
    // it.
    if (!wasCalling && (!calling || tools!.marker !== '')) this.#show(this.#stream.push(id));
    if (!calling && !wasCalling) return !this.#stream.ended;
    this.#tellCalls();
    if (!calling) this.#stream = this.#newStream();
    return true;
  }

  end(): void {
    const { prompt, inbox, tools } = this.#settings;
    if (!this.#inCall) this.#show(this.#stream.flush());
    this.#emit(this.#calls === 0 ? this.#space : '');
    const { end } = this.#stream;
    const called = this.#calls > 0 && (end === 'stop' || tools!.constraint.finished);
    inbox.end({ end: called ? 'calls' : end, promptTokens: prompt.length, newTokens: this.#count });
  }

  fail(error: unknown): void {
    this.#settings.inbox.fail(error);
  }

  #tellCalls(): void {
    const { calls } = this.#settings.tools!.constraint;
    for (; this.#calls < calls.length; this.#calls++) {
      this.#space = '';
      this.#settings.inbox.push({ type: 'call', ...calls[this.#calls]! });
    }
  }

  #show(text: string): void {
    if (!this.#settings.tools) {
      this.#emit(text);
      return;
    }
    const all = this.#space + text;
    const shown = all.trimEnd();
    this.#space = all.slice(shown.length);
    this.#emit(shown);
  }

  #emit(text: string): void {
    const scores = this.#scores;
    if (text === '' && scores.length === 0) return;
    this.#scores = [];
    this.#settings.inbox.push({ type: 'text', text, ...(scores.length > 0 && { scores }) });
  }

  #newStream(): TextStream {
    const { tokenizer, options, isChat, tools } = this.#settings;
    const stop = [...(options.stop ?? []), ...(tools?.marker ? [tools.marker] : [])];
    return new TextStream(
      tokenizer,
      { ...options, stop: stop.length > 0 ? stop : undefined },
      { showsEnd: !isChat },
    );
  }
}
