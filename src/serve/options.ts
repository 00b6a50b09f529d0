import type { LanguageModel } from '../generation/language-model.ts';
import type { LogEntry } from './log.ts';
import type { PageFiles } from './page.ts';

export interface ServeOptions {
  /** Keys of which a client has to send one (`Authorization: Bearer KEY`); by default everybody may ask. */
  readonly apiKeys?: readonly string[] | undefined;
  /** Origins of pages elsewhere that may ask (`https://example.org`), or `*`; by default none. */
  readonly cors?: readonly string[] | undefined;
  /**
   * Names that the `Host` of a request may have, without port, beside addresses: others are refused, so that no page elsewhere can reach this
   * server under a name of its own (DNS rebinding). By default any, since a server around this one may check it.
   */
  readonly allowedHosts?: readonly string[] | undefined;
  /** Most bytes of a request's body, default 4 MiB. */
  readonly maxBodyBytes?: number | undefined;
  /** Most tokens of prompt and completion together; default the model's positions. */
  readonly context?: number | undefined;
  /** Completions that may wait for a place beyond those that run, default 64. */
  readonly maxQueue?: number | undefined;
  /** Seconds after which a request is given up, default 600. */
  readonly timeout?: number | undefined;
  /**
   * Most bytes of a streamed answer that may wait for its client to read them, about, default 256 KiB. The answer of a
   * client that leaves more unread ends with an error (408, `unread`), and its place is free.
   */
  readonly maxUnreadBytes?: number | undefined;
  /** Seconds after which a model that nobody uses is released; by default never. */
  readonly idle?: number | undefined;
  /** A page at `/`: `playgroundPage()` is one to talk to the models. By default none. */
  readonly page?: PageFiles | undefined;
  /** Called when a model has been loaded. */
  readonly onLoad?: ((name: string, model: LanguageModel) => void) | undefined;
  /** What happens, an entry for each request; texts are not among it. */
  readonly log?: ((entry: LogEntry) => void) | undefined;
  /** Adds prompts and messages to the log; default false. */
  readonly logPrompts?: boolean | undefined;
}
