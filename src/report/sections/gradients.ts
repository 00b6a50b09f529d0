import { familyStyle } from '../family-colors.ts';
import { type Ids, panels } from '../figure.ts';
import { type Bilingual, type Html, html } from '../html.ts';
import { drawAxes, drawLine, drawPoints, extent, frame, legend } from '../plot.ts';
import type { FamilyMeasurements, FamilyResult, JobResults } from '../results.ts';
import { linearScale, logScale } from '../scale.ts';
import { paragraph, readable, type Section } from './section.ts';

const area = frame(340, 330, { left: 60 });
type Curve = readonly number[];

/** The gradient with respect to each layer's input, with and without the norms. */
export function gradientSection({ families, measurements }: JobResults, ids: Ids): Section {
  const list = measurements.families;
  const curves = (pick: (family: FamilyMeasurements) => Curve) => list.map(pick);
  const trained = curves(({ gradients }) => gradients.trained);
  const deep = curves(({ gradients }) => gradients.deep);
  const bare = curves(({ gradients }) => gradients.withoutNorms);
  const { deepLayers } = measurements;
  const growth = (all: readonly Curve[]) =>
    all
      .map((curve, i) => `${title(i)} ${readable((curve[0]! / curve.at(-1)!) ** (1 / (curve.length - 1)))}`)
      .join(', ');
  const title = (i: number) => (families[i] as FamilyResult).title;
  const depths = bare.map((curve) => curve.length - 1);
  const held = depths
    .map((depth, i) => (depth < deepLayers ? `${title(i)} ${depth}` : null))
    .filter((text) => text !== null)
    .join(', ');
  const all = [...trained, ...deep, ...bare].flat().filter((value) => value > 0 && Number.isFinite(value));
  const range = [Math.min(...all) / 2, Math.max(...all) * 2] as const;
  return {
    id: 'gradients',
    title: {
      en: 'Why normalize: gradients stay in range',
      ko: '왜 정규화하는가: 기울기가 범위를 벗어나지 않게',
    },
    content: [
      paragraph({
        en: 'A model learns from the gradient that flows back from the loss through every layer. Each norm (LayerNorm in GPT, RMSNorm in the others) scales the rows that a layer reads to one length, so that what the layer adds depends on its weights and not on how large the values have grown. RMSNorm drops LayerNorm’s mean and bias: dividing by the root mean square is enough. Gemma 2 also normalizes what each sublayer returns.',
        ko: '모델은 손실에서 모든 층을 거슬러 돌아오는 기울기로 배웁니다. 정규화(GPT는 LayerNorm, 나머지는 RMSNorm)는 층이 읽는 벡터를 일정한 길이로 되돌리므로, 층이 더하는 값은 지나오는 동안 수가 얼마나 커졌는지가 아니라 그 층의 가중치에 따라 정해집니다. RMSNorm은 LayerNorm의 평균 빼기와 편향을 없애고 제곱평균제곱근으로 나누기만 합니다. Gemma 2는 각 하위 층의 출력도 정규화합니다.',
      }),
      paragraph({
        en: `Measured: the norm of the gradient of the loss with respect to the residual stream, before each layer and after the last. On the way back it grows per layer, on average, by a factor of ${growth(trained)} in the trained models and ${growth(deep)} in ${deepLayers} layers with random weights. Without the norms inside the layers, the factor in the same random layers is ${growth(bare)}${held ? `; of the depths tried, float32 can then represent at most this many layers: ${held}. In deeper ones, values overflow or vanish, and nothing can be learned` : ''}.`,
        ko: `측정: 잔차 흐름(residual stream)에 대한 손실의 기울기 크기를 각 층 앞과 마지막 층 뒤에서 쟀습니다. 기울기는 거슬러 오는 동안 층마다 평균적으로 학습된 모델에서 ${growth(trained)}배, 무작위 가중치의 ${deepLayers}층에서 ${growth(deep)}배가 됩니다. 같은 무작위 층에서 내부 정규화만 빼면 ${growth(bare)}배가 됩니다${held ? `. 이때 시도한 깊이 가운데 float32가 담을 수 있는 층 수는 ${held}까지이고, 더 깊으면 수가 넘치거나 사라져서 아무것도 배울 수 없습니다` : ''}.`,
      }),
      paragraph(
        {
          en: 'The jump at the first layer of Llama is not due to depth: its embedding is not scaled up as in the other three, so the first norm has to scale short rows to full length, and the gradient with them.',
          ko: 'Llama의 첫 층에서 보이는 계단은 깊이 때문이 아닙니다. 다른 셋과 달리 임베딩을 키우지 않으므로, 첫 정규화가 짧은 벡터를 제 길이로 늘리면서 기울기도 함께 커집니다.',
        },
        'notes',
      ),
      panels(ids, {
        area,
        columns: 3,
        above: legend(families.map(({ title: name }, i) => ({ name, ...familyStyle(i) }))),
        caption: {
          en: 'Gradient norm ‖∂loss/∂x‖ of the residual stream x, over all tokens of one batch of held-out text; the same logarithmic scale everywhere. Random weights are N(0, 1/width), so that products preserve the magnitude of their inputs. The norm before the head is always kept.',
          ko: '검증 텍스트 한 배치의 모든 토큰에 대한 잔차 흐름 x의 기울기 크기 ‖∂손실/∂x‖. 모두 같은 로그 눈금입니다. 무작위 가중치는 N(0, 1/너비)로, 입력의 크기를 유지하는 곱입니다. 출력층 앞의 정규화는 모두 남겨 두었습니다.',
        },
        list: [
          { title: { en: 'Trained models', ko: '학습된 모델' }, content: chart(trained, range) },
          {
            title: { en: `${deepLayers} random layers`, ko: `무작위 ${deepLayers}층` },
            content: chart(deep, range),
          },
          {
            title: { en: 'The same without norms', ko: '정규화를 뺀 같은 층' },
            content: chart(bare, range, deepLayers),
          },
        ],
      }),
    ],
  };
}

const xLabel: Bilingual = { en: 'layers passed', ko: '지나온 층 수' };
const yLabel: Bilingual = { en: 'gradient norm', ko: '기울기 크기' };

function chart(curves: readonly Curve[], range: readonly [number, number], length = 0): Html {
  const { x, y } = extent(area);
  const layers = Math.max(length, ...curves.map((curve) => curve.length - 1));
  const axes = {
    x: linearScale(0, layers, ...x, Math.min(6, layers)),
    y: logScale(...range, ...y),
    xLabel,
    yLabel,
  };
  const lines = curves.map((curve, i) => {
    const style = familyStyle(i);
    const points = curve.map((value, layer) => [layer, value] as const);
    return html`${drawLine(points, axes, style)}${curve.length < 8 ? drawPoints(points, axes, style.color) : ''}`;
  });
  return html`${drawAxes(area, axes)}${lines}`;
}
