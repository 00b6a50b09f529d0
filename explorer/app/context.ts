import { createContext } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import type { SiteAblation, SiteModel } from '../../src/explore/site.ts';
import type { Locale } from '../../src/inspect/labels.ts';
import type { Dictionary } from '../text/index.ts';
import { type ModelsClient, Superseded, ThreadError } from '../worker/client.ts';
import { type Failure, failureOf } from '../worker/failure.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import type { Route, SetParams } from './route.ts';

/** What every view may need. */
export interface App {
  readonly route: Route;
  readonly setParams: SetParams;
  readonly locale: Locale;
  readonly t: Dictionary;
  readonly models: ModelsClient;
  /** Of the site; undefined while they are fetched. */
  readonly siteModels: readonly SiteModel[] | undefined;
  /** Given by the reader, or trained in the page. */
  readonly ownModels: readonly ModelInfo[];
  addModel(model: ModelInfo): void;
  /** Of the site; undefined while they are fetched. */
  readonly siteAblations: readonly SiteAblation[] | undefined;
}

export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  return useContext(AppContext)!;
}

/** What the reader is told of an error. */
export function errorText(t: Dictionary, error: unknown): string {
  return failureText(t, error instanceof ThreadError ? error : failureOf(error));
}

export function failureText(t: Dictionary, { message, kind }: Failure): string {
  if (kind === 'expected') return message;
  return kind === 'memory' ? t.shell.memory : t.shell.unexpected(message);
}

export interface Loaded<T> {
  /** The newest result; that of earlier inputs while a new one is computed. */
  readonly value: T | undefined;
  readonly error: string | undefined;
  readonly busy: boolean;
}

/** What a promise gives, again whenever an input changes. A result that has been overtaken is dropped. */
export function useLoaded<T>(load: () => Promise<T> | undefined, inputs: readonly unknown[]): Loaded<T> {
  const { t } = useApp();
  const [state, setState] = useState<Loaded<T>>({ value: undefined, error: undefined, busy: true });
  useEffect(() => {
    let current = true;
    const pending = load();
    if (!pending) {
      setState({ value: undefined, error: undefined, busy: false });
      return;
    }
    setState((before) => ({ ...before, busy: true }));
    pending.then(
      (value) => {
        if (current) setState({ value, error: undefined, busy: false });
      },
      (error: unknown) => {
        if (!current || error instanceof Superseded) return;
        setState({ value: undefined, error: errorText(t, error), busy: false });
      },
    );
    return () => {
      current = false;
    };
  }, inputs);
  return state;
}
