import { html } from '../../../src/report/html.ts';
import { drawAxes, drawLevel, drawLine, drawPoints, extent } from '../../../src/report/plot.ts';
import { linearScale } from '../../../src/report/scale.ts';
import { useApp } from '../../app/context.ts';
import { dictionaries } from '../../text/index.ts';
import { Plot, SERIES, useArea } from '../../ui/plot.tsx';
import type { TrainingState } from './session.ts';

/** More points than pixels show nothing more. */
const MOST_POINTS = 300;

/** Losses of the models beside the bigram's. */
export function LossPlot({ state }: { state: TrainingState }) {
  const words = useApp().t.train;
  const [en, ko] = [dictionaries.en.train, dictionaries.ko.train];
  const { area, ticks } = useArea(900, 380);
  const { x, y } = extent(area);
  const { models, corpus, settings } = state;
  const bigram = corpus?.bigram ?? 4;
  const seen = models.flatMap(({ losses, evaluations }) => [
    ...losses,
    ...evaluations.map(({ loss }) => loss),
  ]);
  const low = Math.floor(2 * Math.min(bigram, ...seen) - 0.4) / 2;
  const high = Math.max(low + 1, Math.log(corpus?.vocabSize ?? 512) + 0.2);
  const axes = {
    x: linearScale(0, settings.steps, ...x, ticks),
    y: linearScale(low, high, ...y),
    xLabel: { en: en.step, ko: ko.step },
    yLabel: { en: en.nats, ko: ko.nats },
  };
  const shown = bigram.toFixed(3);
  const lines = models.map(({ losses, evaluations }, i) => {
    const points = evaluations.map(({ step, loss }) => [step, loss] as const);
    return html`${drawLine(smooth(losses), axes, { color: SERIES[i]!, width: 1.8 })}${drawPoints(points, axes, SERIES[i]!)}`;
  });
  return (
    <Plot
      area={area}
      label={words.lossLabel}
      content={html`${drawAxes(area, axes)}${corpus && drawLevel(bigram, { en: en.bigram(shown), ko: ko.bigram(shown) }, area, axes)}${lines}`}
    />
  );
}

/** Means of equal parts, each at its last step: single batches are noisy. */
function smooth(losses: readonly number[]): (readonly [number, number])[] {
  const width = Math.max(5, Math.ceil(losses.length / MOST_POINTS));
  const points: (readonly [number, number])[] = [];
  for (let at = 0; at < losses.length; at += width) {
    const part = losses.slice(at, at + width);
    points.push([at + part.length, part.reduce((sum, loss) => sum + loss, 0) / part.length]);
  }
  return points;
}
