import { useMemo, useRef } from 'preact/hooks';
import { namedPreset } from '../../../src/inspect/named-model.ts';
import { RotaryEmbedding } from '../../../src/nn/positions.ts';
import { html, same } from '../../../src/report/html.ts';
import { drawAxes, drawLevel, drawLine, drawPoints, extent } from '../../../src/report/plot.ts';
import { linearScale } from '../../../src/report/scale.ts';
import { useApp } from '../../app/context.ts';
import { numberParam } from '../../app/route.ts';
import { dictionaries } from '../../text/index.ts';
import { Plot, SERIES, useArea } from '../../ui/plot.tsx';
import { PresetChoice } from '../../ui/preset-choice.tsx';
import { Slider } from '../../ui/slider.tsx';

const DISCS = 8;
const FARTHEST = 127;
const PIXELS_PER_TOKEN = 7;
/** Tokens by which keys move the query, as on a slider. */
const STEPS: Readonly<Record<string, number>> = {
  ...{ ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 },
  ...{ PageUp: 10, PageDown: -10, Home: -FARTHEST, End: FARTHEST },
};

/** Positions as turning discs, with a query and a key on each. */
export function Rope() {
  const { t, route, setParams } = useApp();
  const words = t.parts.rope;
  const name = route.params.get('preset') ?? 'llama';
  const query = numberParam(route.params, 'q', 0, FARTHEST) ?? 12;
  const key = numberParam(route.params, 'k', 0, FARTHEST) ?? 4;
  const rope = useMemo(() => ropeOf(name), [name]);
  const dragging = useRef<{ x: number; from: number } | undefined>(undefined);
  const frequencies = rope ? Array.from(rope.inverseFrequencies) : [];
  const step = Math.max(1, frequencies.length / DISCS);
  const pairs = Array.from({ length: Math.min(DISCS, frequencies.length) }, (_, i) => Math.floor(i * step));
  const setQuery = (value: number) =>
    setParams({ q: String(Math.min(FARTHEST, Math.max(0, Math.round(value)))) });
  return (
    <>
      <p>{words.explain}</p>
      <form class="controls" onSubmit={(event) => event.preventDefault()}>
        <PresetChoice
          label={t.shell.model}
          value={name}
          onChange={(preset) => setParams({ preset }, { push: true })}
        />
        <Slider label={words.query} value={query} min={0} max={FARTHEST} step={1} onInput={setQuery} />
        <Slider
          label={words.key}
          value={key}
          min={0}
          max={FARTHEST}
          step={1}
          onInput={(value) => setParams({ k: String(value) })}
        />
      </form>
      {!rope ? (
        <p class="notice">{words.none}</p>
      ) : (
        <section class="card">
          <p class="soft">
            {words.drag} {words.distance(Math.abs(query - key))}.
          </p>
          {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is no place to drag */}
          <div
            class="discs"
            role="group"
            // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys turn it
            tabIndex={0}
            aria-label={words.turnable}
            onKeyDown={(event) => {
              const steps = STEPS[event.key];
              if (steps === undefined) return;
              event.preventDefault();
              setQuery(query + steps);
            }}
            onPointerDown={(event) => {
              dragging.current = { x: event.clientX, from: query };
              event.currentTarget.setPointerCapture(event.pointerId);
            }}
            onPointerMove={(event) => {
              if (!dragging.current) return;
              const { x, from } = dragging.current;
              setQuery(from + (event.clientX - x) / PIXELS_PER_TOKEN);
            }}
            onPointerUp={() => {
              dragging.current = undefined;
            }}
            onPointerCancel={() => {
              dragging.current = undefined;
            }}
          >
            {pairs.map((pair) => (
              <Disc key={pair} pair={pair} rate={frequencies[pair]!} query={query} current={key} />
            ))}
          </div>
          <Curve frequencies={frequencies} distance={Math.abs(query - key)} />
        </section>
      )}
    </>
  );
}

function ropeOf(name: string): RotaryEmbedding | undefined {
  const model = namedPreset(name)?.model;
  if (!model) return undefined;
  for (const [, module] of model.walk()) if (module instanceof RotaryEmbedding) return module;
  return undefined;
}

interface DiscProps {
  readonly pair: number;
  /** Radians per token. */
  readonly rate: number;
  readonly query: number;
  readonly current: number;
}

function Disc({ pair, rate, query, current }: DiscProps) {
  const words = useApp().t.parts.rope;
  const tokens = (2 * Math.PI) / rate;
  const degrees = (position: number) => (position * rate * 180) / Math.PI;
  return (
    <figure class="disc">
      <svg viewBox="-50 -50 100 100" role="img" aria-label={words.disc(pair)}>
        <circle r="44" class="rim" />
        <line x2="36" class="hand key" transform={`rotate(${-degrees(current)})`} />
        <g transform={`rotate(${-degrees(query)})`}>
          <line x2="40" class="hand query" />
          <circle cx="40" r="4.5" class="dot" />
        </g>
      </svg>
      <figcaption>
        {words.disc(pair)}
        <br />
        {words.turn(tokens < 100 ? tokens.toFixed(1) : Math.round(tokens).toLocaleString('en'))}
      </figcaption>
    </figure>
  );
}

/** Equal queries and keys: their score is the mean of the cosines of all angles. */
function scoreAt(frequencies: readonly number[], distance: number): number {
  return frequencies.reduce((sum, rate) => sum + Math.cos(distance * rate), 0) / frequencies.length;
}

function Curve({ frequencies, distance }: { frequencies: readonly number[]; distance: number }) {
  const words = useApp().t.parts.rope;
  const { area, ticks } = useArea(760, 260, { left: 56 });
  const { x, y } = extent(area);
  const both = (read: (parts: typeof words) => string) => ({
    en: read(dictionaries.en.parts.rope),
    ko: read(dictionaries.ko.parts.rope),
  });
  const axes = {
    x: linearScale(0, FARTHEST, ...x, ticks),
    y: linearScale(-0.4, 1, ...y, 6),
    xLabel: both((parts) => parts.axis),
    yLabel: both((parts) => parts.score),
  };
  const line = useMemo(
    () => Array.from({ length: FARTHEST + 1 }, (_, at) => [at, scoreAt(frequencies, at)] as const),
    [frequencies],
  );
  const here = [[distance, scoreAt(frequencies, distance)]] as const;
  return (
    <Plot
      area={area}
      label={words.curve}
      content={html`${drawAxes(area, axes)}${drawLevel(0, same(''), area, axes)}${drawLine(line, axes, { color: SERIES[0] })}${drawPoints(here, axes, SERIES[1])}`}
    />
  );
}
