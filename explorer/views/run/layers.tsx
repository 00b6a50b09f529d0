import { useApp } from '../../app/context.ts';
import { percentText, visibleText } from '../../ui/token-text.ts';
import type { RunResult } from '../../worker/protocol.ts';

/** How long the residual stream is, from the embedding to the last layer. */
export function Residual({ run }: { run: RunResult }) {
  const t = useApp().t.run;
  const highest = Math.max(...run.norms);
  return (
    <section class="residual">
      <h3>{t.residual}</h3>
      <p class="soft">{t.residualLead}</p>
      <table>
        <tbody>
          {run.norms.map((norm, i) => (
            <tr key={i}>
              <th scope="row">{i === 0 ? t.entering : t.after(i - 1)}</th>
              <td class="number">{norm.toPrecision(3)}</td>
              <td class="bars" aria-hidden="true">
                <span class="bar plain" style={{ width: `${(100 * norm) / highest}%` }} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface LensProps {
  readonly run: RunResult;
  onChoose(position: number): void;
}

/** What the model would say after each layer, for every token of the text. */
export function Lens({ run, onChoose }: LensProps) {
  const t = useApp().t.run;
  const { tokens, lens, position } = run;
  const layers = [...lens.keys()].reverse();
  return (
    <section class="lens">
      <h3>{t.lens}</h3>
      <p class="soft">{t.lensLead}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <section class="scroll" tabIndex={0} aria-label={t.lens}>
        <table>
          <tbody>
            {layers.map((layer) => (
              <tr key={layer}>
                <th scope="row">
                  <span class="hidden">{t.lensLayer} </span>
                  {layer}
                </th>
                {lens[layer]!.map((entry, i) => (
                  <td
                    key={i}
                    class={i === position ? 'chosen' : undefined}
                    style={{ '--share': entry.probability.toFixed(3) }}
                    title={percentText(entry.probability)}
                  >
                    <code>{visibleText(entry.text)}</code>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <td />
              {tokens.map((token, i) => (
                <th key={i} scope="col" class={i === position ? 'chosen' : undefined}>
                  <button type="button" tabIndex={-1} onClick={() => onChoose(i)}>
                    {visibleText(token.text)}
                  </button>
                </th>
              ))}
            </tr>
          </tfoot>
        </table>
      </section>
    </section>
  );
}
