import { useApp } from '../../app/context.ts';
import { percentText, visibleText } from '../../ui/token-text.ts';
import type { RunResult } from '../../worker/protocol.ts';

interface CandidatesProps {
  readonly run: RunResult;
  readonly cap: number | null;
  readonly temperature: number;
}

/** What comes next, before and after the soft-cap and the temperature. */
export function Candidates({ run, cap, temperature }: CandidatesProps) {
  const t = useApp().t.run;
  const words = t.candidates;
  const highest = Math.max(...run.candidates.flatMap((one) => [one.probability, one.tempered, one.uncapped]));
  const shownTemperature = temperature.toFixed(2);
  const bar = (share: number, className: string) => (
    <span class={`bar ${className}`} style={{ width: `${(100 * share) / highest}%` }} />
  );
  return (
    <section class="candidates">
      <h3>{t.next(visibleText(run.tokens[run.position]!.text))}</h3>
      <p class="soft">{cap === null ? t.uncapped : t.capped(String(cap))}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <section class="scroll" tabIndex={0} aria-label={words.caption}>
        <table>
          <caption class="hidden">{words.caption}</caption>
          <thead>
            <tr>
              <th scope="col">{words.token}</th>
              {cap !== null && (
                <th scope="col" class="number">
                  {words.raw}
                </th>
              )}
              <th scope="col" class="number">
                {words.logit}
              </th>
              {cap !== null && (
                <th scope="col" class="number">
                  {words.uncapped}
                </th>
              )}
              <th scope="col" class="number">
                {words.probability}
              </th>
              <th scope="col" class="number">
                {words.tempered(shownTemperature)}
              </th>
              <td class="bars" />
            </tr>
          </thead>
          <tbody>
            {run.candidates.map((one) => (
              <tr key={one.id}>
                <th scope="row">
                  <code>{visibleText(one.text)}</code>
                </th>
                {cap !== null && <td class="number">{one.raw.toFixed(2)}</td>}
                <td class="number">{one.logit.toFixed(2)}</td>
                {cap !== null && <td class="number">{percentText(one.uncapped)}</td>}
                <td class="number">{percentText(one.probability)}</td>
                <td class="number">{percentText(one.tempered)}</td>
                <td class="bars" aria-hidden="true">
                  {cap !== null && bar(one.uncapped, 'uncapped')}
                  {bar(one.probability, 'plain')}
                  {bar(one.tempered, 'tempered')}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </section>
  );
}
