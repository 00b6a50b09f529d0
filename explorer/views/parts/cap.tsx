import { type Html, html } from '../../../src/report/html.ts';
import { drawAxes, drawBars, drawLine, extent, type Frame } from '../../../src/report/plot.ts';
import { linearScale } from '../../../src/report/scale.ts';
import { useApp, useLoaded } from '../../app/context.ts';
import { numberParam } from '../../app/route.ts';
import { dictionaries } from '../../text/index.ts';
import { builtModel } from '../../ui/built-model.ts';
import { Plot, SERIES, useArea } from '../../ui/plot.tsx';
import { Slider } from '../../ui/slider.tsx';
import { percentText, visibleText } from '../../ui/token-text.ts';
import { histogram, reach } from './histogram.ts';
import { RealControls, useRealValues } from './real-values.tsx';

const BINS = 60;
const TOP = 5;

/** The soft-cap, on the logits of a real text. */
export function CapPart() {
  const { t, route, setParams } = useApp();
  const words = t.parts.cap;
  const values = useRealValues(() => ['logits_before_cap']);
  const { info, taps } = values;
  const { area, ticks } = useArea(760, 380, { left: 56 });
  const own = info ? builtModel(info).model.head.softcap : null;
  const cap = numberParam(route.params, 'cap', 1, 60) ?? own ?? 30;
  const found = taps.value;
  const tap = found?.values.logits_before_cap;
  const vocab = tap?.shape[1] ?? 0;
  const last = (found?.tokens.length ?? 1) - 1;
  const logits = tap?.data.subarray(last * vocab, (last + 1) * vocab);
  return (
    <>
      <p>{words.explain}</p>
      <form class="controls" onSubmit={(event) => event.preventDefault()}>
        <RealControls values={values} layers={false} />
        <Slider
          label={words.cap}
          {...{ value: cap, min: 1, max: 60, step: 0.5 }}
          shown={`±${cap}`}
          onInput={(value) => setParams({ cap: String(value) })}
        />
      </form>
      {taps.error && <p class="error">{taps.error}</p>}
      {logits && (
        <section class="card beside" aria-busy={taps.busy}>
          <div class="grow">
            <p class="soft">{own === null ? words.ownNone : words.own(`±${own}`)}</p>
            <Plot
              area={area}
              label={`${words.before} → ${words.after}`}
              content={draw(logits, cap, area, ticks)}
            />
          </div>
          <Top logits={logits} cap={cap} model={info!.id} />
        </section>
      )}
    </>
  );
}

function draw(logits: Float32Array, cap: number, area: Frame, ticks: number): Html {
  const edge = Math.max(reach(logits), Math.min(cap, 12));
  const { x, y } = extent(area);
  const [en, ko] = [dictionaries.en.parts.cap, dictionaries.ko.parts.cap];
  const axes = {
    x: linearScale(-edge, edge, ...x, ticks),
    y: linearScale(-edge, edge, ...y, 6),
    xLabel: { en: en.logit, ko: ko.logit },
    yLabel: { en: en.capped, ko: ko.capped },
  };
  const bend = (value: number) => cap * Math.tanh(value / cap);
  const counts = [histogram(logits, -edge, edge, BINS), histogram(logits.map(bend), -edge, edge, BINS)];
  const most = Math.max(...counts.flat(), 1);
  const heights = (list: readonly number[]) =>
    list.map((count) => -edge + 1.1 * edge * Math.sqrt(count / most));
  const step = (2 * edge) / BINS;
  const outline = heights(counts[1]!).flatMap((height, i) => [
    [-edge + i * step, height] as const,
    [-edge + (i + 1) * step, height] as const,
  ]);
  const points = Array.from({ length: 161 }, (_, at) => {
    const value = -edge + (2 * edge * at) / 160;
    return [value, bend(value)] as const;
  });
  const straight = [
    [-edge, -edge],
    [edge, edge],
  ] as const;
  return html`${drawBars({ from: -edge, to: edge, heights: heights(counts[0]!) }, axes, 'var(--bar)')}${drawAxes(area, axes)}${drawLine(outline, axes, { color: SERIES[1], width: 1.4 })}${drawLine(straight, axes, { color: 'var(--soft)', dash: '4 4', width: 1.2 })}${drawLine(points, axes, { color: SERIES[0], width: 2.4 })}`;
}

/** The likeliest tokens: what the cap takes from the first it gives to the others. */
function Top({ logits, cap, model }: { logits: Float32Array; cap: number; model: string }) {
  const { t, models } = useApp();
  const words = t.parts.cap;
  const plain = softmax(logits);
  const capped = softmax(logits.map((value) => cap * Math.tanh(value / cap)));
  const order = [...plain.keys()].sort((a, b) => plain[b]! - plain[a]!).slice(0, TOP);
  const texts = useLoaded(
    () => models.call('tokenTexts', { model, ids: order }),
    [model, order.join()],
  ).value;
  return (
    <table>
      <caption class="soft">{words.top}</caption>
      <thead>
        <tr>
          <th scope="col">{words.token}</th>
          <th scope="col" class="number">
            {words.without}
          </th>
          <th scope="col" class="number">
            {words.with}
          </th>
        </tr>
      </thead>
      <tbody>
        {order.map((id, i) => (
          <tr key={id}>
            <th scope="row">
              <code>{visibleText(texts?.[i] ?? `#${id}`)}</code>
            </th>
            <td class="number">{percentText(plain[id]!)}</td>
            <td class="number">{percentText(capped[id]!)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function softmax(logits: Float32Array): number[] {
  const highest = logits.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  const shares = Array.from(logits, (value) => Math.exp(value - highest));
  const sum = shares.reduce((total, share) => total + share, 0);
  return shares.map((share) => share / sum);
}
