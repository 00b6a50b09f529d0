import { useEffect, useRef, useState } from 'preact/hooks';

export const VIEWS = ['run', 'compare', 'parts', 'train', 'ablation', 'estimate', 'open'] as const;
export type View = (typeof VIEWS)[number];

/** What the address says: `#/run?model=llama&text=The+whale`. Behind the hash, so that any web server will do. */
export interface Route {
  readonly view: View;
  readonly params: URLSearchParams;
}

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const view = VIEWS.find((name) => name === path) ?? 'run';
  return { view, params: new URLSearchParams(query) };
}

export function routeHash(view: View, params: URLSearchParams): string {
  const query = params.toString();
  return `#/${view}${query ? `?${query}` : ''}`;
}

/** Parameters that hold in every view. */
const LASTING = ['lang', 'theme'];

/** The address of another view, in the same language and colors. */
export function viewHash(view: View, from: Route): string {
  return routeHash(view, viewParams(from));
}

/** Parameters of another view, in the same language and colors. */
export function viewParams(from: Route, more: Readonly<Record<string, string>> = {}): URLSearchParams {
  const lasting = LASTING.flatMap((name) => {
    const value = from.params.get(name);
    return value === null ? [] : [[name, value]];
  });
  return new URLSearchParams([...lasting, ...Object.entries(more)]);
}

export type SetParams = (
  changes: Readonly<Record<string, string | null>>,
  options?: { push?: boolean },
) => void;

/** How long the address may lag behind what a slider says: browsers refuse to change it many times a second. */
const ADDRESS_DELAY_MS = 200;

/** The route, and how to change its parameters; null removes one. Small changes replace the entry of the history. */
export function useRoute(): [Route, SetParams] {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  const current = useRef(route);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const go = (next: Route) => {
    current.current = next;
    setRoute(next);
  };
  useEffect(() => {
    const follow = () => {
      clearTimeout(timer.current);
      go(parseRoute(location.hash));
    };
    addEventListener('hashchange', follow);
    addEventListener('popstate', follow);
    return () => {
      removeEventListener('hashchange', follow);
      removeEventListener('popstate', follow);
    };
  }, []);
  const setParams: SetParams = (changes, { push = false } = {}) => {
    const { view, params: before } = current.current;
    const params = new URLSearchParams(before);
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) params.delete(name);
      else params.set(name, value);
    }
    go({ view, params });
    clearTimeout(timer.current);
    const hash = routeHash(view, params);
    if (push) history.pushState(null, '', hash);
    else timer.current = setTimeout(() => history.replaceState(null, '', hash), ADDRESS_DELAY_MS);
  };
  return [route, setParams];
}

/** Names of models, with commas between them; the commas within `gpt/tiny+norm=RMSNorm,gated=true` belong to a name. */
export function modelsParam(params: URLSearchParams): string[] | undefined {
  return params.get('models')?.split(/,(?!\w+=)/);
}

/** A whole number of the address within bounds; undefined where there is none. */
export function numberParam(params: URLSearchParams, name: string, least: number, most: number) {
  const text = params.get(name);
  const value = text === null || text.trim() === '' ? Number.NaN : Number(text);
  return Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : undefined;
}
