import { familyStyle } from '../family-colors.ts';
import { figure, type Ids } from '../figure.ts';
import { html } from '../html.ts';
import { drawAxes, drawLevel, drawLine, drawPoints, extent, frame, legend } from '../plot.ts';
import type { JobResults } from '../results.ts';
import { linearScale } from '../scale.ts';
import { paragraph, type Section } from './section.ts';

/** Training and held-out loss by step, with the unigram and bigram baselines. */
export function lossSection(results: JobResults, ids: Ids): Section {
  const { families, corpus, settings } = results;
  const area = frame(940, 430);
  const { x, y } = extent(area);
  const held = families.flatMap(({ evaluations }) => evaluations.map(({ loss }) => loss));
  const low = Math.min(
    corpus.bigramLoss,
    ...held,
    ...families.flatMap(({ curve }) => curve.map(({ loss }) => loss)),
  );
  const axes = {
    x: linearScale(0, settings.training.steps, ...x, 8),
    y: linearScale(Math.floor(low * 5 - 0.5) / 5, Math.ceil(corpus.unigramLoss * 5 + 1) / 5, ...y),
    xLabel: { en: 'optimizer step', ko: '학습 단계' },
    yLabel: { en: 'loss, nats per token', ko: '손실 (토큰당 nats)' },
  };
  const lines = families.map(({ curve, evaluations }, i) => {
    const style = familyStyle(i);
    const points = smooth(curve.map(({ loss }) => loss));
    return html`${drawLine(
      curve.map(({ step }, at) => [step, points[at]!] as const),
      axes,
      style,
    )}${drawPoints(
      evaluations.map(({ step, loss }) => [step, loss] as const),
      axes,
      style.color,
    )}`;
  });
  const levels = html`${drawLevel(corpus.unigramLoss, { en: `unigram ${corpus.unigramLoss.toFixed(3)}`, ko: `유니그램 ${corpus.unigramLoss.toFixed(3)}` }, area, axes)}${drawLevel(corpus.bigramLoss, { en: `bigram ${corpus.bigramLoss.toFixed(3)}`, ko: `바이그램 ${corpus.bigramLoss.toFixed(3)}` }, area, axes)}`;
  const picture = figure(ids, {
    area,
    above: legend(families.map(({ title }, i) => ({ name: title, ...familyStyle(i) }))),
    caption: {
      en: `Lines: loss on the training tokens, smoothed. Circles: loss on the ${corpus.validationTokens.toLocaleString('en')} held-out tokens. Dashed lines: a unigram (add-one smoothing) and a bigram (interpolated Kneser–Ney) model, fitted to the same training tokens, on the same held-out tokens.`,
      ko: `선: 학습 토큰에 대한 손실(평활화). 원: 학습에 쓰지 않은 검증 토큰 ${corpus.validationTokens.toLocaleString('en')}개에 대한 손실. 점선: 같은 학습 토큰으로 만든 유니그램(애드원 평활)과 바이그램(보간 Kneser–Ney)이 같은 검증 토큰에서 얻은 손실.`,
    },
    content: html`${drawAxes(area, axes)}${levels}${lines}`,
  });
  return {
    id: 'losses',
    title: { en: 'Learning', ko: '학습 과정' },
    content: [
      paragraph({
        en: 'All four models see the same tokens in the same order, with the same number of steps, learning rate and batch. Only the architecture differs, so the curves can be compared directly.',
        ko: '네 모델은 같은 토큰을 같은 순서로, 같은 단계 수와 학습률과 배치로 학습합니다. 다른 것은 구조뿐이므로 곡선을 겹쳐 비교할 수 있습니다.',
      }),
      picture,
    ],
  };
}

/** A moving average: single batches are noisy. */
function smooth(values: readonly number[]): number[] {
  const reach = Math.floor(values.length / 50);
  return values.map((_, i) => {
    const part = values.slice(Math.max(0, i - reach), i + reach + 1);
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}
