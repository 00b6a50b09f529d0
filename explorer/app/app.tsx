import type { ComponentType } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { SiteIndex } from '../../src/explore/site.ts';
import type { Locale } from '../../src/inspect/labels.ts';
import { dictionaries } from '../text/index.ts';
import { Choice } from '../ui/choice.tsx';
import type { ModelsClient } from '../worker/client.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import { AppContext, useApp, useLoaded } from './context.ts';
import { useRoute, VIEWS, type View, viewHash } from './route.ts';

/** Each view's program is fetched when it is first shown. */
const programs: Readonly<Record<View, () => Promise<ComponentType>>> = {
  run: async () => (await import('../views/run/run-view.tsx')).RunView,
  parts: async () => (await import('../views/parts/parts-view.tsx')).PartsView,
  estimate: async () => (await import('../views/estimate/estimate-view.tsx')).EstimateView,
  open: async () => (await import('../views/open/open-view.tsx')).OpenView,
  train: async () => (await import('../views/train/train-view.tsx')).TrainView,
  ablation: async () => (await import('../views/ablation/ablation-view.tsx')).AblationView,
  compare: async () => (await import('../views/compare/compare-view.tsx')).CompareView,
};

const THEMES = ['auto', 'light', 'dark'] as const;

function localeOf(params: URLSearchParams): Locale {
  const wanted = params.get('lang') ?? navigator.language;
  return wanted.toLowerCase().startsWith('ko') ? 'ko' : 'en';
}

export function App({ models }: { models: ModelsClient }) {
  const [route, setParams] = useRoute();
  const locale = localeOf(route.params);
  const t = dictionaries[locale];
  const theme = THEMES.find((name) => name === route.params.get('theme')) ?? 'auto';
  const [site, setSite] = useState<SiteIndex>();
  const [ownModels, setOwnModels] = useState<readonly ModelInfo[]>([]);
  useEffect(() => {
    models.call('listSite', undefined as never).then(setSite, () => setSite({ models: [], ablations: [] }));
  }, [models]);
  useEffect(() => {
    document.documentElement.lang = locale;
    document.documentElement.dataset.theme = theme;
    document.title = `${t.shell.views[route.view]} · ${t.shell.title}`;
  }, [locale, theme, route.view, t]);
  const app = useMemo(
    () => ({
      ...{ route, setParams, locale, t, models, ownModels },
      siteModels: site?.models,
      siteAblations: site?.ablations,
      addModel: (model: ModelInfo) => setOwnModels((before) => [...before, model]),
    }),
    [route, locale, t, models, site, ownModels],
  );
  return (
    <AppContext.Provider value={app}>
      <button type="button" class="skip" onClick={() => document.getElementById('view')?.focus()}>
        {t.shell.skip}
      </button>
      <header class="top">
        <p class="brand">
          <svg viewBox="0 0 40 16" width="40" height="16" aria-hidden="true">
            <path d="M2 13C10 13 10 3 18 3s8 10 16 10" />
            <path class="second" d="M2 3c8 0 8 10 16 10S26 3 34 3" />
          </svg>
          Ropewalk
        </p>
        <nav aria-label={t.shell.viewsLabel}>
          <ul>
            {VIEWS.map((view) => (
              <li key={view}>
                <a href={viewHash(view, route)} aria-current={view === route.view ? 'page' : undefined}>
                  {t.shell.views[view]}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="settings">
          <Choice
            label={t.shell.language}
            hideLabel
            options={[
              { value: 'en', text: 'EN', title: 'English', lang: 'en' },
              { value: 'ko', text: '한', title: '한국어', lang: 'ko' },
            ]}
            value={locale}
            onChange={(value) => setParams({ lang: value })}
          />
          <Choice
            label={t.shell.theme}
            hideLabel
            options={THEMES.map((name) => ({
              value: name,
              text: { auto: '◐', light: '○', dark: '●' }[name],
              title: t.shell.themes[name],
            }))}
            value={theme}
            onChange={(value) => setParams({ theme: value === 'auto' ? null : value })}
          />
        </div>
      </header>
      <main id="view" tabIndex={-1}>
        <CurrentView key={route.view} view={route.view} />
      </main>
    </AppContext.Provider>
  );
}

function CurrentView({ view }: { view: View }) {
  const { t } = useApp();
  const { value, error } = useLoaded(programs[view], [view]);
  if (error) return <p class="error">{error}</p>;
  if (!value) return <p class="soft">{t.shell.loading}</p>;
  const Program = value;
  return (
    <>
      <h1>{t.shell.views[view]}</h1>
      <Program />
    </>
  );
}
