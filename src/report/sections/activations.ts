import { type Ids, panels } from '../figure.ts';
import { type Html, html, same } from '../html.ts';
import { drawAxes, drawBars, drawLine, extent, frame, legend } from '../plot.ts';
import type { ActivationInputs, JobResults } from '../results.ts';
import { linearScale } from '../scale.ts';
import { paragraph, percent, type Section } from './section.ts';

const area = frame(460, 320);
const CURVE = '#b91c1c';
const BARS = '#cbd5e1';

/** In float64, by definition: ReLU, GELU in its tanh form, SiLU. */
const FUNCTIONS = {
  relu: { name: 'ReLU', at: (x: number) => Math.max(0, x) },
  gelu: {
    name: 'GELU',
    at: (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  },
  silu: { name: 'SiLU (Swish)', at: (x: number) => x / (1 + Math.exp(-x)) },
} as const;

/** The activation functions over their observed inputs. */
export function activationSection({ families, measurements }: JobResults, ids: Ids): Section {
  const list = measurements.families.map(({ activation }, i) => {
    const title = families[i]!.title;
    return {
      title: same(`${title}: ${FUNCTIONS[activation.activation].name}`),
      content: chart(activation),
      activation,
      name: title,
    };
  });
  const cut = list.find(({ activation }) => activation.activation === 'relu');
  const bending = list.filter(({ activation }) => activation.activation !== 'relu');
  const shares = bending.map(({ name, activation }) => `${name} ${percent(activation.bent)}`).join(', ');
  return {
    id: 'activations',
    title: {
      en: 'Why GeGLU and SwiGLU: smooth instead of cut off',
      ko: '왜 GeGLU와 SwiGLU인가: 자르지 않고 부드럽게 휘기',
    },
    content: [
      paragraph({
        en: 'ReLU sets every negative input to zero and passes no gradient there: a unit that is always negative stops learning. GELU and SiLU bend smoothly instead, so a slightly negative input still contributes and has a gradient. In Gemma (GeGLU) and Llama (SwiGLU), this half of the hidden layer is then a gate: it multiplies the other half, amplifying what matters and damping the rest.',
        ko: 'ReLU는 음수 입력을 모두 0으로 만들고, 그곳으로는 기울기도 지나가지 않습니다. 늘 음수인 유닛은 더 배우지 못합니다. GELU와 SiLU는 부드럽게 휘므로 조금 음수인 입력에도 값과 기울기가 남습니다. Gemma(GeGLU)와 Llama(SwiGLU)에서는 이렇게 휜 절반이 게이트가 되어 은닉층의 나머지 절반에 곱해지고, 중요한 것은 강조하고 나머지는 약하게 합니다.',
      }),
      paragraph({
        en: `Measured on held-out text: ${cut ? `${percent(cut.activation.negative)} of the inputs of ${cut.name}’s ReLU are negative and become exactly 0. ` : ''}${shares ? `The share of inputs between −3 and 0, where the smooth functions bend: ${shares}.` : ''}`,
        ko: `검증 텍스트에서 측정: ${cut ? `${cut.name}의 ReLU 입력 가운데 ${percent(cut.activation.negative)}가 음수여서 정확히 0이 됩니다. ` : ''}${shares ? `부드러운 함수가 휘는 −3과 0 사이에 놓인 입력의 비율: ${shares}.` : ''}`,
      }),
      panels(ids, {
        area,
        above: legend([
          { name: { en: 'activation function', ko: '활성화 함수' }, color: CURVE },
          {
            name: {
              en: 'observed inputs (histogram, own scale)',
              ko: '실제로 들어오는 입력 (히스토그램, 별도 눈금)',
            },
            color: '#94a3b8',
            width: 8,
          },
        ]),
        caption: {
          en: 'Histograms over all layers, hidden units and tokens of one batch of held-out text.',
          ko: '검증 텍스트 한 배치의 모든 층, 은닉 유닛, 토큰에 대한 히스토그램.',
        },
        list,
      }),
    ],
  };
}

function chart({ activation, inputs }: ActivationInputs): Html {
  const { x, y } = extent(area);
  const [from, to] = [-4, 4];
  const axes = {
    x: linearScale(from, to, ...x, 8),
    y: linearScale(-1, 4, ...y, 5),
    xLabel: { en: 'input', ko: '입력' },
    yLabel: { en: 'output', ko: '출력' },
  };
  const step = (inputs.to - inputs.from) / inputs.counts.length;
  const first = Math.round((from - inputs.from) / step);
  const counts = inputs.counts.slice(first, first + Math.round((to - from) / step));
  const highest = Math.max(...counts, 1);
  const heights = counts.map((count) => -1 + (4.6 * count) / highest);
  const points = Array.from({ length: 161 }, (_, i) => {
    const at = from + ((to - from) * i) / 160;
    return [at, FUNCTIONS[activation].at(at)] as const;
  });
  return html`${drawBars({ from, to, heights }, axes, BARS)}${drawAxes(area, axes)}${drawLine(points, axes, { color: CURVE, width: 2.5 })}`;
}
