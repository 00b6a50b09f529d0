import { type Ids, panels } from '../figure.ts';
import { type Html, html } from '../html.ts';
import { drawAxes, drawBars, drawLine, extent, frame, legend } from '../plot.ts';
import type { CapEffect, JobResults } from '../results.ts';
import { linearScale } from '../scale.ts';
import { paragraph, readable, type Section } from './section.ts';

const area = frame(460, 330);
const [BEFORE, AFTER, CURVE] = ['#94a3b8', '#0369a1', '#b91c1c'];

/** Logits before and after the soft-caps, for each family that has them. */
export function capSection({ families, measurements }: JobResults, ids: Ids): Section {
  const measured = measurements.families.flatMap(({ caps }, i) => {
    const title = families[i]!.title;
    return [
      { name: { en: `${title}: attention scores`, ko: `${title}: 어텐션 점수` }, effect: caps.attention },
      { name: { en: `${title}: logits of the vocabulary`, ko: `${title}: 어휘 로짓` }, effect: caps.final },
    ];
  });
  const list = measured.flatMap(({ name, effect }) => (effect ? [{ name, effect }] : []));
  const said = list.map(({ name, effect }) => {
    const { cap, largestBefore, largestAfter, largestChange } = effect;
    const bites = largestBefore > cap / 2;
    return paragraph({
      en: `${name.en}, cap ${cap}: the largest |logit| is ${readable(largestBefore)} before and ${readable(largestAfter)} after; no logit changes by more than ${readable(largestChange)}. ${bites ? 'Here the cap visibly bends the largest logits.' : 'At this size the cap has little effect: the logits stay in its linear range. It is a safeguard for larger models and longer training.'}`,
      ko: `${name.ko}, 상한 ${cap}: |로짓|의 최댓값은 적용 전 ${readable(largestBefore)}, 적용 후 ${readable(largestAfter)}이고, 어느 로짓도 ${readable(largestChange)}보다 많이 움직이지 않습니다. ${bites ? '여기서는 가장 큰 로짓이 눈에 띄게 휩니다.' : '이 크기에서는 상한이 거의 작용하지 않습니다. 로짓이 곧은 가운데 구간에 머무르기 때문입니다. 상한은 더 큰 모델과 더 긴 학습을 위한 안전장치입니다.'}`,
    });
  });
  return {
    id: 'caps',
    title: {
      en: 'Why cap the logits: no extreme predictions',
      ko: '왜 로짓에 상한을 두는가: 극단적인 예측 막기',
    },
    content: [
      paragraph({
        en: 'A logit is the value just before the final prediction; attention scores are logits, too. An extreme logit saturates the softmax: all probability on one token, and almost no gradient to correct it. Gemma 2 bends both kinds with cap · tanh(x / cap): nearly the identity in the middle, never beyond the cap.',
        ko: '로짓은 최종 예측 바로 앞의 값이며, 어텐션 점수도 로짓입니다. 하나가 지나치게 커지면 소프트맥스가 확신에 빠져 확률이 한 토큰에 몰리고, 그것을 되돌릴 기울기는 거의 남지 않습니다. Gemma 2는 두 로짓을 모두 상한 · tanh(x / 상한)으로 휩니다. 가운데에서는 거의 그대로이고 상한을 넘지 않습니다.',
      }),
      ...said,
      list.length > 0 &&
        panels(ids, {
          area,
          above: legend([
            { name: { en: 'cap · tanh(x / cap)', ko: '상한 · tanh(x / 상한)' }, color: CURVE! },
            { name: { en: 'unchanged', ko: '그대로' }, color: '#6b7280', dash: '4 4', width: 1.5 },
            {
              name: { en: 'logits before the cap (histogram)', ko: '상한 적용 전 로짓 (히스토그램)' },
              color: BEFORE!,
              width: 8,
            },
            { name: { en: 'logits after it', ko: '적용 후 로짓' }, color: AFTER!, width: 1.5 },
          ]),
          caption: {
            en: 'Histograms (square-root scale, so that rare values show) over all layers, heads and visible pairs of one batch of held-out text, and over its logits of the whole vocabulary. Both histograms have the same bins along the horizontal axis.',
            ko: '히스토그램(드문 값도 보이도록 제곱근 눈금)은 검증 텍스트 한 배치의 모든 층, 헤드, 보이는 쌍에 대한 것과 전체 어휘 로짓에 대한 것입니다. 두 히스토그램은 가로축에서 같은 구간을 씁니다.',
          },
          list: list.map(({ name, effect }) => ({ title: name, content: chart(effect) })),
        }),
    ],
  };
}

function chart({ cap, before, after }: CapEffect): Html {
  const { x, y } = extent(area);
  const edge = before.to;
  const axes = {
    x: linearScale(-edge, edge, ...x, 8),
    y: linearScale(-edge, edge, ...y, 8),
    xLabel: { en: 'logit before the cap', ko: '상한 적용 전 로짓' },
    yLabel: { en: 'logit after the cap', ko: '상한 적용 후 로짓' },
  };
  const highest = Math.max(...before.counts, ...after.counts, 1);
  const heights = (counts: readonly number[]) =>
    counts.map((count) => -edge + 1.1 * edge * Math.sqrt(count / highest));
  const points = Array.from({ length: 121 }, (_, i) => {
    const at = -edge + (2 * edge * i) / 120;
    return [at, cap * Math.tanh(at / cap)] as const;
  });
  const step = (after.to - after.from) / after.counts.length;
  const outline = heights(after.counts).flatMap((height, i) => [
    [after.from + i * step, height] as const,
    [after.from + (i + 1) * step, height] as const,
  ]);
  return html`${drawBars({ from: before.from, to: before.to, heights: heights(before.counts) }, axes, BEFORE!)}${drawAxes(area, axes)}${drawLine(outline, axes, { color: AFTER!, width: 1.2 })}${drawLine(
    [
      [-edge, -edge],
      [edge, edge],
    ],
    axes,
    { color: '#6b7280', dash: '4 4', width: 1.5 },
  )}${drawLine(points, axes, { color: CURVE!, width: 2.2 })}`;
}
