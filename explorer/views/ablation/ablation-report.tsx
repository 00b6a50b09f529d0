import { drawAblation, MEASURES, type Measure } from '../../../src/ablate/drawing.ts';
import { ablationNotes, ablationRows } from '../../../src/ablate/presentation.ts';
import type { AblationResult } from '../../../src/ablate/result.ts';
import { findPreset } from '../../../src/families/registry.ts';
import { whole } from '../../../src/inspect/format.ts';
import { useApp } from '../../app/context.ts';
import { routeHash, viewParams } from '../../app/route.ts';
import { Plot, useArea } from '../../ui/plot.tsx';

const COLOR = 'var(--accent)';

/** The picture and the table of an ablation; each change leads to the comparison of the two models around it. */
export function AblationReport({ result }: { result: AblationResult }) {
  const words = useApp().t.ablation;
  const { from, to, seeds, shape, training } = result.settings;
  const tokens = shape.batch * shape.seq * training.accumulate;
  return (
    <>
      <section class="card">
        <h2>{words.settings(from, to)}</h2>
        <p class="soft">{words.budget(whole(training.steps), whole(tokens), seeds.length)}</p>
        <Pictures result={result} />
      </section>
      <section class="card">
        <h2>{words.table}</h2>
        <Table result={result} />
      </section>
    </>
  );
}

function Pictures({ result }: { result: AblationResult }) {
  const words = useApp().t.ablation;
  const { area, narrow } = useArea(1100, 100);
  const draw = (shown: readonly Measure[]) =>
    drawAblation(result, shown, { width: area.width, margin: narrow ? 132 : 240, color: COLOR, ticks: 4 });
  if (!narrow) return <Plot {...draw(MEASURES)} label={words.picture} />;
  return (
    <>
      {MEASURES.map((measure) => (
        <Plot key={measure} {...draw([measure])} label={words.pictures[measure]} />
      ))}
    </>
  );
}

function Table({ result }: { result: AblationResult }) {
  const { t, locale, route } = useApp();
  const words = t.ablation;
  const { models: columns, rows } = ablationRows(result, locale);
  const { rungs } = result;
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <section class="scroll" tabIndex={0} aria-label={words.table}>
        <table class="comparison ablation">
          <thead>
            <tr>
              <th scope="col">{words.model}</th>
              {columns.map((column) => (
                <th key={column} scope="col" class="number">
                  {column}
                </th>
              ))}
              <td />
            </tr>
          </thead>
          <tbody>
            {rows.map(({ feature, values }, i) => {
              // One of a file may name models that this page does not know.
              const pair = [rungs[i - 1]?.name, rungs[i]!.name].filter((name) => name && known(name));
              const params = viewParams(route, { models: pair.join(',') });
              return (
                <tr key={rungs[i]!.name}>
                  <th scope="row">{feature}</th>
                  {columns.map((column) => (
                    <td key={column} class="number">
                      {values[column]}
                    </td>
                  ))}
                  <td class="see">
                    {pair.length === 2 && (
                      <a href={routeHash('compare', params)} aria-label={`${words.see}: ${feature}`}>
                        {words.see}
                      </a>
                    )}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </section>
      <ul class="notes">
        {ablationNotes(result, locale).map((note) => (
          <li key={note}>{note}</li>
        ))}
      </ul>
    </>
  );
}

function known(name: string): boolean {
  try {
    return findPreset(name) !== undefined;
  } catch {
    return false;
  }
}
