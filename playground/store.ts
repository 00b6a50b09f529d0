import type { Locale } from './texts.ts';

/** How a reply went. */
export interface Reply {
  readonly text: string;
  readonly state: 'writing' | 'done' | 'stopped' | 'failed';
  readonly error?: string;
  readonly finish?: string;
  readonly promptTokens?: number;
  readonly tokens?: number;
  readonly perSecond?: number;
}

/** What was asked, and what each model answered. */
export interface Turn {
  readonly prompt: string;
  readonly replies: Readonly<Record<string, Reply>>;
}

/** Numbers as they stand in the form; empty: the model's own. */
export interface Settings {
  readonly system: string;
  readonly temperature: string;
  readonly top_p: string;
  readonly top_k: string;
  readonly min_p: string;
  readonly repetition_penalty: string;
  readonly max_tokens: string;
  readonly seed: string;
}

export interface State {
  readonly locale: Locale;
  readonly key: string;
  /** Names of the models that answer. */
  readonly chosen: readonly string[];
  readonly settings: Settings;
  readonly turns: readonly Turn[];
}

const NAME = 'ropewalk-playground';

const INITIAL: State = {
  locale: navigator.language.startsWith('ko') ? 'ko' : 'en',
  key: '',
  chosen: [],
  settings: {
    ...{ system: '', temperature: '', top_p: '', top_k: '', min_p: '', repetition_penalty: '' },
    ...{ max_tokens: '512', seed: '' },
  },
  turns: [],
};

/** What this browser has kept. What was being written when the page was left was stopped. */
export function readState(): State {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME) ?? '{}') as Partial<State>;
    const turns = (kept.turns ?? []).map((turn) => ({
      ...turn,
      replies: Object.fromEntries(
        Object.entries(turn.replies).map(([model, reply]) => [
          model,
          reply.state === 'writing' ? { ...reply, state: 'stopped' as const } : reply,
        ]),
      ),
    }));
    return { ...INITIAL, ...kept, settings: { ...INITIAL.settings, ...kept.settings }, turns };
  } catch {
    // Storage that is not to be had or not ours: the page works without.
    return INITIAL;
  }
}

export function keepState(state: State): void {
  try {
    localStorage.setItem(NAME, JSON.stringify(state));
  } catch {
    // As above.
  }
}
