export interface StackedPart {
  readonly name: string;
  readonly value: number;
  readonly shown: string;
  /** Number of its color: the same part has the same in every bar. */
  readonly kind: number;
}

interface StackedBarProps {
  readonly title: string;
  readonly parts: readonly StackedPart[];
  /** What fills the whole width. */
  readonly most: number;
}

/** A sum as a bar of its parts, with their names and sizes below. */
export function StackedBar({ title, parts, most }: StackedBarProps) {
  return (
    <figure class="stacked">
      <figcaption>{title}</figcaption>
      <div class="stack" aria-hidden="true">
        {parts.map(({ name, value, kind }) => (
          <span key={name} class={`kind-${kind}`} style={{ width: `${(100 * value) / most}%` }} />
        ))}
      </div>
      <ul class="stack-legend">
        {parts.map(({ name, shown, kind }) => (
          <li key={name}>
            <span class={`swatch kind-${kind}`} aria-hidden="true" />
            {name} <strong>{shown}</strong>
          </li>
        ))}
      </ul>
    </figure>
  );
}
