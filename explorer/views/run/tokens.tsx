import { useApp } from '../../app/context.ts';
import { visibleText } from '../../ui/token-text.ts';
import type { RunResult } from '../../worker/protocol.ts';

interface TokensProps {
  readonly run: RunResult;
  onChoose(position: number): void;
  onAppend(text: string): void;
}

/** The text as tokens: one is chosen, and its neighbors are a key away. */
export function Tokens({ run, onChoose, onAppend }: TokensProps) {
  const t = useApp().t.run;
  const { tokens, position, omitted, cut, candidates } = run;
  const last = tokens.length - 1;
  const best = candidates[0]?.text ?? '';
  return (
    <section aria-labelledby="tokens-title">
      <h2 id="tokens-title">{t.tokens}</h2>
      <p class="soft">{t.tokensHint}</p>
      <ol class="tokens">
        {tokens.map((token, i) => (
          <li key={i}>
            <button type="button" aria-pressed={i === position} onClick={() => onChoose(i)}>
              {visibleText(token.text)}
            </button>
          </li>
        ))}
      </ol>
      <div class="row">
        <button type="button" disabled={position === 0} onClick={() => onChoose(position - 1)}>
          ← {t.previous}
        </button>
        <button type="button" disabled={position === last} onClick={() => onChoose(position + 1)}>
          {t.following} →
        </button>
        {position === last && omitted === 0 && !best.startsWith('#') && (
          <button type="button" class="strong" onClick={() => onAppend(best)}>
            {t.append(visibleText(best))}
          </button>
        )}
      </div>
      {cut ? <p class="notice">{t.cut}</p> : omitted > 0 && <p class="notice">{t.omitted(omitted)}</p>}
    </section>
  );
}
