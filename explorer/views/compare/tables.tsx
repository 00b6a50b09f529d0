import { type ComparisonTable, compare, footnotes, tables } from '../../../src/inspect/compare.ts';
import type { NamedModel } from '../../../src/inspect/named-model.ts';
import { useApp } from '../../app/context.ts';

/** The note's tables, and every row there is. */
export function Tables({ models }: { models: readonly NamedModel[] }) {
  const { t, locale } = useApp();
  const words = t.compare;
  const [families, ...successors] = tables(models, locale);
  const all = { models: models.map(({ name }) => name), rows: compare(models, locale) };
  return (
    <section class="card">
      <h2>{words.tables}</h2>
      <Table table={families!} />
      {successors.map((table) => (
        <Table key={table.models.join()} table={table} />
      ))}
      <details>
        <summary>{words.all}</summary>
        <Table table={all} />
      </details>
      <ul class="notes">
        {footnotes(models, locale).map((note) => (
          <li key={note}>{note}</li>
        ))}
      </ul>
    </section>
  );
}

function Table({ table }: { table: ComparisonTable }) {
  const words = useApp().t.compare;
  const { models, rows } = table;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section class="scroll" tabIndex={0} aria-label={models.join(', ')}>
      <table class="comparison">
        <thead>
          <tr>
            <th scope="col">{words.feature}</th>
            {models.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ feature, values }) => {
            const cells = models.map((name) => values[name]!);
            const differs = new Set(cells).size > 1;
            return (
              <tr key={feature} class={differs ? 'differs' : undefined}>
                <th scope="row">{feature}</th>
                {cells.map((cell, i) => (
                  <td key={models[i]} class={differs && i > 0 && cell !== cells[i - 1] ? 'new' : undefined}>
                    {cell}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
