import { useEffect, useId, useMemo, useState } from 'preact/hooks';
import type { Html } from '../../src/report/html.ts';
import { type Frame, frame, svg } from '../../src/report/plot.ts';

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

const NARROW = '(max-width: 40rem)';
const NARROW_WIDTH = 400;

/** A picture's measures: on a narrow screen fewer, so that its letters stay readable; `ticks` is how many suit it. */
export function useArea(width: number, height: number, margins: Partial<Frame> = {}) {
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const media = matchMedia(NARROW);
    const follow = () => setNarrow(media.matches);
    media.addEventListener('change', follow);
    return () => media.removeEventListener('change', follow);
  }, []);
  const area = useMemo(() => frame(narrow ? NARROW_WIDTH : width, height, margins), [narrow, width, height]);
  return { area, narrow, ticks: narrow ? 4 : 8 };
}
