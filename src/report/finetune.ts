import { figure, Ids } from './figure.ts';
import { type Bilingual, both, type Html, html, type Locale } from './html.ts';
import { drawPage } from './page.ts';
import { drawAxes, drawLine, drawPoints, extent, frame, legend } from './plot.ts';
import { linearScale } from './scale.ts';
import { paragraph, type Section, whole } from './sections/section.ts';
import { type TaskChange, taskSection } from './sections/tasks.ts';

interface LossAt {
  readonly step: number;
  readonly loss: number;
}

/** The data of a fine-tuning report. Plain JSON. */
export interface FinetuneResults {
  readonly model: string;
  readonly parameters: number;
  readonly trainedParameters: number;
  readonly examples: number;
  readonly validationExamples: number;
  readonly tokensPerEpoch: number;
  readonly trainedTokensPerEpoch: number;
  readonly steps: number;
  readonly epochs: number;
  /** The step of the result's weights. */
  readonly resultStep: number;
  readonly stoppedEarly: boolean;
  /** Losses on the training batches and on held-out data, including before the first step (step 0). */
  readonly curve: readonly LossAt[];
  readonly evaluations: readonly LossAt[];
  /** Steps whose batches were skipped. */
  readonly skipped: readonly number[];
  /** Steps that were skipped because their gradients were not finite in float16. */
  readonly overflowed: readonly number[];
  readonly samples: readonly { readonly prompt: string; readonly before: string; readonly after: string }[];
  /** Tasks that were evaluated. */
  readonly tasks?: readonly TaskChange[];
  readonly settings: Readonly<Record<string, string>>;
  /** Medians over the steps. */
  readonly tokensPerSecond: number;
  readonly engineShare: number;
  readonly surroundings: Readonly<Record<string, string>>;
}

/** The report of a fine-tuning run: a self-contained HTML page in English and Korean. */
export function buildFinetuneReport(results: FinetuneResults, locale: Locale = 'en'): string {
  const sections = [
    resultSection(results),
    curveSection(results),
    ...(results.tasks?.length ? [taskSection(results.tasks)] : []),
    ...(results.samples.length > 0 ? [sampleSection(results)] : []),
    settingSection(results),
  ];
  return drawPage({
    locale,
    title: `Ropewalk: ${results.model}`,
    heading: { en: `${results.model}, fine-tuned`, ko: `${results.model} 미세 조정` },
    lead: leadOf(results),
    sections,
  });
}

function leadOf({ trainedParameters, parameters, examples, steps, epochs }: FinetuneResults): Html {
  const all = trainedParameters === parameters;
  return paragraph(
    {
      en: `${all ? `All ${whole(parameters)} weights` : `${whole(trainedParameters)} of ${whole(parameters)} weights`} were trained on ${whole(examples)} examples in ${whole(steps)} steps (${epochs.toFixed(2)} epochs).`,
      ko: `${all ? `가중치 ${whole(parameters)}개 전부를` : `가중치 ${whole(parameters)}개 중 ${whole(trainedParameters)}개를`} 예제 ${whole(examples)}개로 ${whole(steps)}단계(${epochs.toFixed(2)}에폭) 학습했습니다.`,
    },
    'lead',
  );
}

/** The first ten steps of a list. */
function firstOf(steps: readonly number[]): string {
  return `${steps.slice(0, 10).join(', ')}${steps.length > 10 ? ', …' : ''}`;
}

function resultSection(results: FinetuneResults): Section {
  const { evaluations, resultStep, curve, skipped, overflowed, stoppedEarly } = results;
  const before = evaluations.find(({ step }) => step === 0);
  const after = evaluations.findLast(({ step }) => step === resultStep);
  const losses: [Bilingual, string][] = [];
  const cell = (name: Bilingual, value: number) =>
    losses.push([name, `${value.toFixed(4)} (${Math.exp(value).toFixed(2)})`]);
  if (before) cell({ en: 'Held out, before', ko: '검증, 학습 전' }, before.loss);
  if (after) cell({ en: `Held out, after step ${resultStep}`, ko: `검증, ${resultStep}단계 뒤` }, after.loss);
  if (curve[0]) cell({ en: 'Training, first step', ko: '학습, 첫 단계' }, curve[0].loss);
  if (curve.length > 0) cell({ en: 'Training, last step', ko: '학습, 마지막 단계' }, curve.at(-1)!.loss);
  const notes: Bilingual[] = [
    {
      en: `The result has the weights after step ${resultStep}.${stoppedEarly ? ' Training stopped early: no later weights were better.' : ''}${skipped.length > 0 ? ` The batches of ${skipped.length} steps were skipped because their loss was far above the others: ${firstOf(skipped)}.` : ''}`,
      ko: `결과는 ${resultStep}단계의 가중치입니다.${stoppedEarly ? ' 더 나은 가중치가 나오지 않아 일찍 끝냈습니다.' : ''}${skipped.length > 0 ? ` 손실이 유난히 높아 건너뛴 단계: ${firstOf(skipped)} (모두 ${skipped.length}개).` : ''}`,
    },
  ];
  if (overflowed.length > 0) {
    notes.push({
      en: `${overflowed.length} steps changed nothing, because their gradients were not finite in float16; after each, the loss scale was halved: ${firstOf(overflowed)}.`,
      ko: `float16에서 기울기가 유한하지 않아 가중치를 바꾸지 않은 단계: ${firstOf(overflowed)} (모두 ${overflowed.length}개). 그때마다 손실 배율을 절반으로 줄였습니다.`,
    });
  }
  if (before && after && after.loss > before.loss) {
    notes.unshift({
      en: 'On the held-out examples, the result is worse than the model before training.',
      ko: '검증 데이터에서 결과가 학습 전 모델보다 나쁩니다.',
    });
  }
  const rows = losses.map(
    ([name, value]) => html`<tr><th scope="row">${both(name)}</th><td class="number">${value}</td></tr>`,
  );
  return {
    id: 'results',
    title: { en: 'Results', ko: '결과' },
    content: [
      html`<table><thead><tr><th scope="col">${both({ en: 'Loss', ko: '손실' })}</th><th scope="col" class="number">${both({ en: 'nats per token (perplexity)', ko: '토큰당 nats (퍼플렉서티)' })}</th></tr></thead><tbody>${rows}</tbody></table>`,
      notes.map((note) => paragraph(note, 'notes')),
    ],
  };
}

const COLORS = { training: '#0b4a6f', evaluation: '#b45309' };

function curveSection({ curve, evaluations, steps }: FinetuneResults): Section {
  const area = frame(940, 400);
  const { x, y } = extent(area);
  const losses = [...curve, ...evaluations].map(({ loss }) => loss).filter(Number.isFinite);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const room = 0.05 * (high - low || 1);
  const axes = {
    x: linearScale(0, Math.max(1, steps), ...x, 8),
    y: linearScale(Math.max(0, low - room), high + room, ...y),
    xLabel: { en: 'optimizer step', ko: '학습 단계' },
    yLabel: { en: 'loss, nats per token', ko: '손실 (토큰당 nats)' },
  };
  const points = (list: readonly LossAt[]) => list.map(({ step, loss }) => [step, loss] as const);
  return {
    id: 'curve',
    title: { en: 'Learning', ko: '학습 과정' },
    content: figure(new Ids(), {
      area,
      above: legend([
        { name: { en: 'training', ko: '학습' }, color: COLORS.training },
        { name: { en: 'held out', ko: '검증' }, color: COLORS.evaluation },
      ]),
      caption: {
        en: 'Line: loss of each training batch before its update. Circles: loss on the held-out examples, the first before any training.',
        ko: '선: 갱신하기 전 각 학습 배치의 손실. 원: 검증 예제에 대한 손실. 첫 원은 학습 전입니다.',
      },
      content: html`${drawAxes(area, axes)}${drawLine(points(curve), axes, { color: COLORS.training, width: 1.5 })}${drawLine(points(evaluations), axes, { color: COLORS.evaluation, width: 1.5, dash: '4 4' })}${drawPoints(points(evaluations), axes, COLORS.evaluation)}`,
    }),
  };
}

function sampleSection({ samples, resultStep }: FinetuneResults): Section {
  const heading = (text: Bilingual) => html`<p class="soft">${both(text)}</p>`;
  return {
    id: 'samples',
    title: { en: 'Samples before and after', ko: '학습 전과 후의 글' },
    content: [
      paragraph({
        en: `Greedy decoding, so there is no randomness. After: the weights of step ${resultStep}.`,
        ko: `매번 가장 그럴듯한 토큰을 골랐으므로 우연이 없습니다. 후: ${resultStep}단계의 가중치.`,
      }),
      samples.map(
        ({ prompt, before, after }) =>
          html`<h3>${prompt}</h3>${heading({ en: 'Before', ko: '전' })}<blockquote>${before}</blockquote>${heading({ en: 'After', ko: '후' })}<blockquote>${after}</blockquote>`,
      ),
    ],
  };
}

function settingSection(results: FinetuneResults): Section {
  const rows: (readonly [Bilingual | string, string])[] = [
    [{ en: 'Examples', ko: '예제' }, `${whole(results.examples)} + ${whole(results.validationExamples)}`],
    [{ en: 'Tokens per epoch', ko: '에폭당 토큰' }, whole(results.tokensPerEpoch)],
    [{ en: 'of which trained', ko: '그중 학습되는 토큰' }, whole(results.trainedTokensPerEpoch)],
    [{ en: 'Trained tokens/s (median)', ko: '초당 학습 토큰 (중앙값)' }, whole(results.tokensPerSecond)],
    [
      { en: "Share of the engine's limit", ko: '엔진 한계 대비' },
      `${Math.round(100 * results.engineShare)} %`,
    ],
    ...Object.entries(results.settings).map(([name, value]) => [name, value] as const),
    ...Object.entries(results.surroundings).map(([name, value]) => [name, value] as const),
  ];
  const items = rows.map(
    ([name, value]) => html`<dt>${typeof name === 'string' ? name : both(name)}</dt><dd>${value}</dd>`,
  );
  return {
    id: 'settings',
    title: { en: 'Settings', ko: '설정' },
    content: [
      paragraph(
        {
          en: "Share of the engine's limit: the time that a step's matrix products would take at the measured speed of bare products, divided by the time of the step.",
          ko: '엔진 한계 대비: 한 단계의 행렬 곱을 순수한 곱셈의 측정 속도로 했을 때의 시간을 실제 단계의 시간으로 나눈 값.',
        },
        'notes',
      ),
      html`<dl>${items}</dl>`,
    ],
  };
}
