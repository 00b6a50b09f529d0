import { useApp } from '../../app/context.ts';
import { numberParam } from '../../app/route.ts';
import { Slider } from '../../ui/slider.tsx';
import { RealControls, useRealValues } from './real-values.tsx';

const EPSILON = 1e-6;

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const length = (values: readonly number[]) => Math.sqrt(mean(values.map((value) => value * value)));

/** Without weights: what the norms do to any vector. */
const layerNorm = (values: readonly number[]) => {
  const middle = mean(values);
  const deviation = Math.sqrt(mean(values.map((value) => (value - middle) ** 2)) + EPSILON);
  return values.map((value) => (value - middle) / deviation);
};
const rmsNorm = (values: readonly number[]) => {
  const size = Math.sqrt(length(values) ** 2 + EPSILON);
  return values.map((value) => value / size);
};

/** LayerNorm and RMSNorm on one real vector. */
export function NormPart() {
  const { t, route, setParams } = useApp();
  const words = t.parts.norm;
  const values = useRealValues((layer) => [`layers.${layer}.input`]);
  const { layer, taps } = values;
  const shift = numberParam(route.params, 'shift', -3, 3) ?? 0;
  const scale = numberParam(route.params, 'scale', 0.1, 5) ?? 1;
  const found = taps.value;
  const tap = found?.values[`layers.${layer}.input`];
  const width = tap?.shape[1] ?? 0;
  const last = (found?.tokens.length ?? 1) - 1;
  const vector = tap
    ? Array.from(tap.data.subarray(last * width, (last + 1) * width), (value) => value * scale + shift)
    : [];
  return (
    <>
      <p>{words.explain}</p>
      <form class="controls" onSubmit={(event) => event.preventDefault()}>
        <RealControls values={values} />
        <Slider
          label={words.shift}
          {...{ value: shift, min: -3, max: 3, step: 0.1 }}
          shown={shift.toFixed(1)}
          onInput={(value) => setParams({ shift: String(value) })}
        />
        <Slider
          label={words.scale}
          {...{ value: scale, min: 0.1, max: 5, step: 0.1 }}
          shown={scale.toFixed(1)}
          onInput={(value) => setParams({ scale: String(value) })}
        />
      </form>
      {taps.error && <p class="error">{taps.error}</p>}
      {vector.length > 0 && (
        <section class="card vectors" aria-busy={taps.busy}>
          <Bars title={words.raw} values={vector} series="plain" />
          <Bars title="LayerNorm" values={layerNorm(vector)} series="first" />
          <Bars title="RMSNorm" values={rmsNorm(vector)} series="second" />
        </section>
      )}
    </>
  );
}

function Bars({ title, values, series }: { title: string; values: readonly number[]; series: string }) {
  const words = useApp().t.parts.norm;
  const edge = 4;
  const step = 100 / values.length;
  const path = values
    .map((value, i) => {
      const height = Math.max(-edge, Math.min(edge, value));
      return `M${(i + 0.5) * step} 0V${-height}`;
    })
    .join('');
  const rounded = (value: number) => value.toFixed(2).replace('-0.00', '0.00').replace('-', '−');
  return (
    <figure class={`vector ${series}`}>
      <figcaption>
        <strong>{title}</strong> {words.statistics(rounded(mean(values)), rounded(length(values)))}
      </figcaption>
      <svg viewBox={`0 ${-edge} 100 ${2 * edge}`} preserveAspectRatio="none" role="img" aria-label={title}>
        <path d="M0 0H100" class="zero" />
        <path d={path} class="bars" style={{ strokeWidth: step * 0.75 }} />
      </svg>
    </figure>
  );
}
