import { useEffect, useRef, useState } from 'preact/hooks';
import { Announcer, Conversation } from './conversation.tsx';
import { SettingsForm } from './settings-form.tsx';
import { TEXTS } from './texts.ts';
import { useChat } from './use-chat.ts';

export function App() {
  const chat = useChat();
  const { state, models, problem, running, change } = chat;
  const t = TEXTS[state.locale];
  const [draft, setDraft] = useState('');
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    document.documentElement.lang = state.locale;
    document.title = t.title;
  }, [state.locale]);
  // Follows what is written only where the reader is at the end.
  useEffect(() => {
    const { scrollHeight } = document.documentElement;
    if (scrollHeight - window.scrollY - window.innerHeight < 200)
      end.current?.scrollIntoView({ block: 'end' });
  }, [state.turns]);
  const ready = !running && draft.trim() !== '' && state.chosen.length > 0;
  const send = () => {
    if (!ready) return;
    chat.send(draft);
    setDraft('');
  };
  return (
    <>
      <header>
        <h1>{t.title}</h1>
        <button type="button" class="quiet" onClick={chat.clear} disabled={state.turns.length === 0}>
          {t.clear}
        </button>
        <button
          type="button"
          class="quiet"
          lang={state.locale === 'en' ? 'ko' : 'en'}
          onClick={() => change({ locale: state.locale === 'en' ? 'ko' : 'en' })}
        >
          {t.language}
        </button>
      </header>
      <div class="columns">
        <aside aria-label={t.settings}>
          <details open={window.innerWidth >= 900}>
            <summary>{t.settings}</summary>
            <SettingsForm {...{ t, state, models, change }} needsKey={problem !== undefined} />
          </details>
          <p class="hint">{t.private}</p>
        </aside>
        <main>
          <h2 class="unseen">{t.conversation}</h2>
          {problem !== undefined && (
            <p class="error" role="alert">
              {t.failed}: {problem}
            </p>
          )}
          <Conversation t={t} turns={state.turns} running={running} regenerate={chat.regenerate} />
          <Announcer t={t} turns={state.turns} running={running} />
          <form
            class="composer"
            onSubmit={(event) => {
              event.preventDefault();
              send();
            }}
          >
            <label class="unseen" for="message">
              {t.message}
            </label>
            <textarea
              id="message"
              rows={2}
              placeholder={t.placeholder}
              value={draft}
              onInput={(event) => setDraft(event.currentTarget.value)}
              onKeyDown={(event) => {
                // A Korean syllable that is being composed is ended by Enter too.
                if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
                event.preventDefault();
                send();
              }}
            />
            {running ? (
              <button type="button" onClick={chat.stop}>
                {t.stop}
              </button>
            ) : (
              <button type="submit" disabled={!ready}>
                {t.send}
              </button>
            )}
          </form>
          <div ref={end} />
        </main>
      </div>
    </>
  );
}
