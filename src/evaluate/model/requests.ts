import type { GenerationSettings } from '../tasks/generation-settings.ts';

/** What a model is asked. */
export type ModelRequest =
  | { readonly kind: 'loglikelihood'; readonly context: string; readonly continuation: string }
  | { readonly kind: 'rolling'; readonly text: string }
  | {
      readonly kind: 'generate';
      readonly context: string;
      readonly settings: GenerationSettings;
      /** Which of several draws it is. */
      readonly repeat: number;
    };

/** A log-likelihood in nats, and whether each token is the likeliest one; or a text. */
export type ModelAnswer = { readonly loglikelihood: number; readonly greedy: boolean } | string;
