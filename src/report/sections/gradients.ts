import type { FamilyMeasurements, FamilyResult, JobResults } from '../data.ts';
import { familyStyle } from '../family-colors.ts';
import { type Ids, panels } from '../figure.ts';
import { type Bilingual, type Html, html } from '../html.ts';
import { drawAxes, drawLine, drawPoints, extent, frame, legend } from '../plot.ts';
import { linearScale, logScale } from '../scale.ts';
import { paragraph, readable, type Section } from './section.ts';

const area = frame(460, 330, { left: 62 });
type Curve = readonly number[];

/** How strongly the loss reacts to each layer's input, with the norms and without them. */
export function gradientSection({ families, measurements }: JobResults, ids: Ids): Section {
  const list = measurements.families;
  const curves = (pick: (family: FamilyMeasurements) => Curve) => list.map(pick);
  const trained = curves(({ gradients }) => gradients.trained);
  const deep = curves(({ gradients }) => gradients.deep);
  const bare = curves(({ gradients }) => gradients.withoutNorms);
  const { deepLayers } = measurements;
  const growth = (all: readonly Curve[]) => all.map((curve) => Math.max(...curve) / Math.min(...curve));
  const title = (i: number) => (families[i] as FamilyResult).title;
  const listed = (values: readonly number[]) =>
    values.map((value, i) => `${title(i)} ${readable(value)}`).join(', ');
  const depths = bare.map((curve) => curve.length - 1);
  const overflow = (en: boolean) =>
    depths
      .map((depth, i) => (depth < deepLayers ? `${title(i)} ${en ? `at ${depth}` : `${depth}층`}` : null))
      .filter((text) => text !== null)
      .join(', ');
  return {
    id: 'gradients',
    title: {
      en: 'Why normalise: gradients stay in range',
      ko: '왜 정규화하는가: 기울기가 범위를 벗어나지 않게',
    },
    content: [
      paragraph({
        en: 'A model learns from the gradient that comes back from the loss through every layer. Each norm (LayerNorm in GPT, RMSNorm in the others) brings the rows that a layer reads back to one length, so that what a layer adds depends on its weights and not on how large the numbers have grown on the way. RMSNorm leaves out LayerNorm’s mean and bias: dividing by the root mean square is enough. Gemma 2 normalises what each sublayer returns, too.',
        ko: '모델은 손실에서 모든 층을 거슬러 돌아오는 기울기로 배웁니다. 정규화(GPT는 LayerNorm, 나머지는 RMSNorm)는 층이 읽는 벡터를 일정한 길이로 되돌리므로, 층이 더하는 값은 지나오는 동안 수가 얼마나 커졌는지가 아니라 그 층의 가중치에 따라 정해집니다. RMSNorm은 LayerNorm의 평균 빼기와 편향을 없애고 제곱평균제곱근으로 나누기만 합니다. Gemma 2는 각 하위 층의 출력도 정규화합니다.',
      }),
      paragraph({
        en: `Measured: the norm of the gradient of the loss with respect to the residual stream, before each layer and after the last. In the trained models the largest differs from the smallest by a factor of ${listed(growth(trained))}; in ${deepLayers} untrained layers of ${listed(growth(deep))}. Take the norms inside the layers out of the very same untrained layers, and the factor is ${listed(growth(bare))}${overflow(true) ? ` — although fewer layers are drawn where float32 cannot hold the numbers of the next depth tried (${overflow(true)} layers)` : ''}.`,
        ko: `측정: 잔차 흐름(residual stream)에 대한 손실의 기울기 크기를 각 층 앞과 마지막 층 뒤에서 쟀습니다. 학습된 모델에서 가장 큰 값은 가장 작은 값의 ${listed(growth(trained))}배, 학습 전 ${deepLayers}층에서는 ${listed(growth(deep))}배입니다. 같은 층에서 내부 정규화만 빼면 ${listed(growth(bare))}배가 됩니다${overflow(false) ? `(다음으로 시도한 깊이의 수를 float32로 담을 수 없는 모델은 더 적은 층만 그렸습니다: ${overflow(false)})` : ''}.`,
      }),
      panels(ids, {
        area,
        above: legend(families.map(({ title: name }, i) => ({ name, ...familyStyle(i) }))),
        caption: {
          en: `Gradient norm ‖∂loss/∂x‖ of the residual stream x, over all tokens of one batch of held-out text; logarithmic scales. Middle and right: untrained weights, as training starts them. The norm before the head stays in all of them.`,
          ko: `검증 텍스트 한 배치의 모든 토큰에 대한 잔차 흐름 x의 기울기 크기 ‖∂손실/∂x‖, 로그 눈금. 가운데와 오른쪽은 학습을 시작할 때의 가중치입니다. 출력층 앞의 정규화는 모두 남겨 두었습니다.`,
        },
        list: [
          { title: { en: 'Trained models', ko: '학습된 모델' }, content: chart(trained) },
          {
            title: {
              en: `${deepLayers} layers, untrained, with norms`,
              ko: `학습 전 ${deepLayers}층, 정규화 있음`,
            },
            content: chart(deep),
          },
          {
            title: { en: 'The same without norms', ko: '같은 층, 정규화 없음' },
            content: chart(bare, deepLayers),
          },
        ],
      }),
    ],
  };
}

const xLabel: Bilingual = {
  en: 'before layer (last point: after the last)',
  ko: '층 앞 (마지막 점은 마지막 층 뒤)',
};
const yLabel: Bilingual = { en: 'gradient norm', ko: '기울기 크기' };

function chart(curves: readonly Curve[], length = 0): Html {
  const { x, y } = extent(area);
  const values = curves.flat().filter((value) => value > 0 && Number.isFinite(value));
  const layers = Math.max(length, ...curves.map((curve) => curve.length - 1));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  // At least two decades, so that what hardly changes looks so.
  const middle = Math.sqrt(low * high);
  const axes = {
    x: linearScale(0, layers, ...x, Math.min(6, layers)),
    y: logScale(Math.min(low / 1.5, middle / 10), Math.max(high * 1.5, middle * 10), ...y),
    xLabel,
    yLabel,
  };
  const lines = curves.map((curve, i) => {
    const style = familyStyle(i);
    const points = curve.map((value, layer) => [layer, value] as const);
    const ends = points.length <= 6 || points.length <= layers ? points : [];
    return html`${drawLine(points, axes, style)}${ends.length > 0 && ends.length < 10 ? drawPoints(ends, axes, style.color) : ''}`;
  });
  return html`${drawAxes(area, axes)}${lines}`;
}
