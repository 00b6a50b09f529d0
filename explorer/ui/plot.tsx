import { useId } from 'preact/hooks';
import type { Html } from '../../src/report/html.ts';
import { type Frame, svg } from '../../src/report/plot.ts';

/** A picture of the report's own drawing code. */
export function Plot({ area, label, content }: { area: Frame; label: string; content: Html }) {
  const id = useId();
  return (
    <figure class="plot-figure">
      <div dangerouslySetInnerHTML={{ __html: svg(area, id, content).markup }} />
      <figcaption id={id}>{label}</figcaption>
    </figure>
  );
}

/** The style sheet's colors of series: they follow the theme. */
export const SERIES = ['var(--accent)', 'var(--second)', 'var(--third)', 'var(--fourth)'] as const;
