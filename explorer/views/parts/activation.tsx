import { activationName } from '../../../src/inspect/features.ts';
import { summarize } from '../../../src/inspect/summary.ts';
import { type Html, html } from '../../../src/report/html.ts';
import { drawAxes, drawBars, drawLine, extent, type Frame, legend } from '../../../src/report/plot.ts';
import { linearScale } from '../../../src/report/scale.ts';
import { useApp } from '../../app/context.ts';
import { dictionaries } from '../../text/index.ts';
import { builtModel } from '../../ui/built-model.ts';
import { Plot, SERIES, useArea } from '../../ui/plot.tsx';
import { percentText } from '../../ui/token-text.ts';
import { histogram, reach } from './histogram.ts';
import { RealControls, useRealValues } from './real-values.tsx';

const BINS = 80;

/** The tanh form that all families have. */
const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
const FUNCTIONS = [
  { name: 'ReLU', of: (x: number) => Math.max(0, x) },
  { name: 'GELU', of: gelu },
  { name: 'SiLU', of: (x: number) => x / (1 + Math.exp(-x)) },
] as const;

/** Activation functions over the values that they really get. */
export function ActivationPart() {
  const { t } = useApp();
  const words = t.parts.activation;
  const values = useRealValues((layer) => [`layers.${layer}.mlp.hidden`]);
  const { info, layer, taps } = values;
  const { area, ticks } = useArea(760, 380, { left: 56 });
  const found = taps.value;
  const name = info && activationName(summarize(builtModel(info), info.name));
  const tap = found?.values[`layers.${layer}.mlp.hidden`];
  // Padding behind the text is no value of it.
  const data = tap?.data.subarray(0, found!.tokens.length * tap.shape[1]!);
  return (
    <>
      <p>{words.explain}</p>
      <form class="controls" onSubmit={(event) => event.preventDefault()}>
        <RealControls values={values} />
      </form>
      {taps.error && <p class="error">{taps.error}</p>}
      {data && (
        <section class="card" aria-busy={taps.busy}>
          <p>
            {words.uses(name ?? '')} {words.below(percentText(belowZero(data)))}
          </p>
          <div
            dangerouslySetInnerHTML={{
              __html: legend(FUNCTIONS.map((one, i) => ({ name: one.name, color: SERIES[i]! }))).markup,
            }}
          />
          <Plot area={area} label={words.values} content={draw(data, area, ticks)} />
        </section>
      )}
    </>
  );
}

function belowZero(values: Float32Array): number {
  return values.reduce((sum, value) => sum + Number(value < 0), 0) / values.length;
}

function draw(values: Float32Array, area: Frame, ticks: number): Html {
  const edge = reach(values);
  const { x, y } = extent(area);
  const [en, ko] = [dictionaries.en.parts.activation, dictionaries.ko.parts.activation];
  const low = Math.min(-0.5, -0.25 * edge);
  const axes = {
    x: linearScale(-edge, edge, ...x, ticks),
    y: linearScale(low, edge, ...y, 6),
    xLabel: { en: en.x, ko: ko.x },
    yLabel: { en: en.y, ko: ko.y },
  };
  const counts = histogram(values, -edge, edge, BINS);
  const most = Math.max(...counts, 1);
  const heights = counts.map((count) => low + (0.85 * (edge - low) * count) / most);
  const lines = FUNCTIONS.map(({ of }, i) => {
    const points = Array.from({ length: 201 }, (_, at) => {
      const value = -edge + (2 * edge * at) / 200;
      return [value, of(value)] as const;
    });
    return drawLine(points, axes, { color: SERIES[i]!, width: 2.5 });
  });
  return html`${drawBars({ from: -edge, to: edge, heights }, axes, 'var(--bar)')}${drawAxes(area, axes)}${lines}`;
}
