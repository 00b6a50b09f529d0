import type { GenerationSettings } from '../tasks/generation-settings.ts';

/** A request to a model. */
export type ModelRequest =
  | { readonly kind: 'loglikelihood'; readonly context: string; readonly continuation: string }
  | { readonly kind: 'rolling'; readonly text: string }
  | {
      readonly kind: 'generate';
      readonly context: string;
      readonly settings: GenerationSettings;
      /** The number of this draw, of several. */
      readonly repeat: number;
    };

/** A log-likelihood in nats, and whether each token is the most likely one; or a text. */
export type ModelAnswer = { readonly loglikelihood: number; readonly greedy: boolean } | string;
