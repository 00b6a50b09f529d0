export interface StackedPart {
  readonly name: string;
  readonly value: number;
  readonly shown: string;
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
        {parts.map(({ name, value }, i) => (
          <span key={name} class={`kind-${i}`} style={{ width: `${(100 * value) / most}%` }} />
        ))}
      </div>
      <ul class="stack-legend">
        {parts.map(({ name, shown }, i) => (
          <li key={name}>
            <span class={`swatch kind-${i}`} aria-hidden="true" />
            {name} <strong>{shown}</strong>
          </li>
        ))}
      </ul>
    </figure>
  );
}
