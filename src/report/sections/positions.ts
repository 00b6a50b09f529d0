import { type Ids, panels } from '../figure.ts';
import { type Html, html, same } from '../html.ts';
import { drawAxes, drawLine, extent, frame, legend } from '../plot.ts';
import type { DistanceScores, JobResults } from '../results.ts';
import { linearScale } from '../scale.ts';
import { paragraph, readable, type Section } from './section.ts';

const area = frame(460, 300);
/** From the widest line to the thinnest, so that overlapping lines are all visible. */
const STYLES = [
  { color: '#fbbf24', width: 9 },
  { color: '#0ea5e9', width: 6 },
  { color: '#be185d', width: 3.5 },
  { color: '#111827', width: 1.3 },
];

/** Attention scores by distance, from several positions in the text. */
export function positionSection({ families, measurements }: JobResults, ids: Ids): Section {
  const { query, key } = measurements.positionTokens;
  const list = measurements.families.map(({ positions }, i) => ({ positions, title: families[i]!.title }));
  const spread = list
    .map(
      ({ positions, title }) =>
        `${title} ${readable(positions.largestSpread)} (${readable(positions.range)})`,
    )
    .join(', ');
  const first = list[0]?.positions.keyPositions ?? [];
  return {
    id: 'positions',
    title: {
      en: 'Why a rotation: scores depend only on distance',
      ko: '왜 회전인가: 점수가 거리에만 따라 달라지게',
    },
    content: [
      paragraph({
        en: 'GPT adds a vector for the absolute position to the token once, at the input; how much of it reaches the upper layers depends on the layers. RoPE is a rotating disc: in every layer, each pair of values in a query and a key is rotated by an angle that grows with the position. In their dot product the common rotation cancels, so the score depends only on their distance, from the model’s input to its output.',
        ko: 'GPT는 절대 위치 벡터를 입력에서 한 번 토큰에 더하고, 위로 올라가며 그것이 얼마나 남을지는 층에 맡깁니다. RoPE는 회전하는 원판입니다. 모든 층에서 쿼리와 키의 숫자 쌍을 위치에 비례하는 각도만큼 돌립니다. 둘이 내적에서 만나면 공통된 회전은 상쇄되고 둘 사이의 거리만 남으며, 이는 모델의 입력에서 출력까지 한결같습니다.',
      }),
      paragraph({
        en: `Measured: the first layer’s score between the query of “${query}” at position p + d and the key of “${key}” at position p, for p = ${first.join(', ')}. The largest difference between the curves at one distance, over all heads (and, for comparison, how much a score changes along one curve): ${spread}. With RoPE the curves coincide, up to float32 rounding.`,
        ko: `측정: 위치 p + d에 있는 “${query}”의 쿼리와 위치 p에 있는 “${key}”의 키 사이의 첫째 층 점수를 p = ${first.join(', ')}에 대해 구했습니다. 같은 거리에서 곡선들 사이의 가장 큰 차이(괄호 안은 비교를 위한, 한 곡선을 따라 점수가 변하는 폭), 모든 헤드에 대해: ${spread}. RoPE에서는 float32 반올림 오차 안에서 곡선이 하나로 겹칩니다.`,
      }),
      panels(ids, {
        area,
        above: legend(
          first.map((p, i) => ({
            name: { en: `key at position ${p}`, ko: `키의 위치 ${p}` },
            ...STYLES[i % STYLES.length]!,
            width: Math.min(6, STYLES[i % STYLES.length]!.width),
          })),
        ),
        caption: {
          en: 'First head of the first layer. Later curves are drawn thinner on top of earlier ones: where they coincide, all colors lie on one line. Query positions exceed the training length.',
          ko: '첫째 층의 첫째 헤드. 뒤의 곡선을 앞의 곡선 위에 더 가늘게 그렸으므로, 겹치는 곳에서는 모든 색이 한 선 위에 놓입니다. 쿼리 위치는 학습 길이를 넘어가지만 점수는 똑같이 계산됩니다.',
        },
        list: list.map(({ positions, title }) => ({ title: same(title), content: chart(positions) })),
      }),
    ],
  };
}

function chart({ scores }: DistanceScores): Html {
  const { x, y } = extent(area);
  const values = scores.flat();
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = 0.08 * (high - low || 1);
  const distances = scores[0]?.length ?? 1;
  const axes = {
    x: linearScale(0, distances, ...x, 8),
    y: linearScale(low - margin, high + margin, ...y, 5),
    xLabel: { en: 'distance d between query and key', ko: '쿼리와 키 사이의 거리 d' },
    yLabel: { en: 'attention score', ko: '어텐션 점수' },
  };
  const lines = scores.map((curve, i) =>
    drawLine(
      curve.map((score, d) => [d, score] as const),
      axes,
      STYLES[i % STYLES.length]!,
    ),
  );
  return html`${drawAxes(area, axes)}${lines}`;
}
