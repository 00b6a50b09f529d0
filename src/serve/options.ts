import type { LanguageModel } from '../generation/language-model.ts';
import type { LogEntry } from './log.ts';
import type { PageFiles } from './page.ts';

export interface ServeOptions {
  /** API keys, one of which every request must send (`Authorization: Bearer KEY`); by default none is required. */
  readonly apiKeys?: readonly string[] | undefined;
  /** Origins of other pages that may send requests (`https://example.org`), or `*`; by default none. */
  readonly cors?: readonly string[] | undefined;
  /**
   * Names that are allowed in a request's `Host` header, without port, in addition to addresses. Others are refused,
   * so that no page of another site can reach this server under its own name (DNS rebinding). By default any, since a
   * surrounding server may check it.
   */
  readonly allowedHosts?: readonly string[] | undefined;
  /** The maximum size of a request's body in bytes, default 4 MiB. */
  readonly maxBodyBytes?: number | undefined;
  /** The maximum number of tokens of prompt and completion together; default the model's positions. */
  readonly context?: number | undefined;
  /** The maximum number of waiting completions, in addition to running ones, default 64. */
  readonly maxQueue?: number | undefined;
  /** The time limit of a request in seconds, default 600. */
  readonly timeout?: number | undefined;
  /**
   * The approximate maximum of unread bytes of a streamed answer, default 256 KiB. If a client leaves more unread, the
   * answer ends with an error (408, `unread`), and its slot is freed.
   */
  readonly maxUnreadBytes?: number | undefined;
  /** Seconds without use after which a model is released; by default never. */
  readonly idle?: number | undefined;
  /** A page at `/`, such as `playgroundPage()` for chats with the models. By default none. */
  readonly page?: PageFiles | undefined;
  /** Called when a model has been loaded. */
  readonly onLoad?: ((name: string, model: LanguageModel) => void) | undefined;
  /** Called with log entries, one for each request; they do not contain texts. */
  readonly log?: ((entry: LogEntry) => void) | undefined;
  /** Adds prompts and messages to the log; default false. */
  readonly logPrompts?: boolean | undefined;
}
