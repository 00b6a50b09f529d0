import type { Reply, Turn } from './store.ts';
import type { Texts } from './texts.ts';

interface Props {
  readonly t: Texts;
  readonly turns: readonly Turn[];
  readonly running: boolean;
  regenerate(): void;
}

export function Conversation({ t, turns, running, regenerate }: Props) {
  if (turns.length === 0) return <p class="empty">{t.empty}</p>;
  return (
    <ol class="turns">
      {turns.map(({ prompt, replies }, i) => (
        <li key={i} class="turn">
          <article class="prompt">
            <h3>{t.you}</h3>
            <p class="text">{prompt}</p>
          </article>
          <div class="replies">
            {Object.entries(replies).map(([model, reply]) => (
              <article key={model} class="reply" aria-busy={reply.state === 'writing'}>
                <h3>{model}</h3>
                <p class="text">{reply.text}</p>
                <Footer t={t} reply={reply} />
              </article>
            ))}
          </div>
          {i === turns.length - 1 && !running && (
            <button type="button" class="quiet" onClick={regenerate}>
              {t.regenerate}
            </button>
          )}
        </li>
      ))}
    </ol>
  );
}

function Footer({ t, reply }: { readonly t: Texts; readonly reply: Reply }) {
  const { state, error, finish, promptTokens, tokens, perSecond } = reply;
  const parts = [
    state === 'writing' && t.writing,
    state === 'stopped' && t.stopped,
    finish === 'length' && t.length,
    promptTokens !== undefined && `${promptTokens} ${t.promptTokens}`,
    tokens !== undefined && `${tokens} ${t.tokens}`,
    perSecond !== undefined && `${perSecond.toFixed(1)} ${t.perSecond}`,
  ].filter((part): part is string => typeof part === 'string');
  return (
    <>
      {state === 'failed' && (
        <p class="error" role="alert">
          {t.failed}: {error}
        </p>
      )}
      {parts.length > 0 && <p class="facts">{parts.join(' · ')}</p>}
    </>
  );
}

/** What a screen reader says of replies: that they are written, and then all of them once. */
export function Announcer({ t, turns, running }: Omit<Props, 'regenerate'>) {
  const last = turns.at(-1);
  const said = Object.entries(last?.replies ?? {}).map(([model, { text }]) => `${model}: ${text}`);
  return (
    <div class="unseen" role="status" aria-live="polite">
      {last === undefined ? '' : running ? t.writing : said.join('\n')}
    </div>
  );
}
