import { familyStyle } from '../family-colors.ts';
import { type Ids, panels } from '../figure.ts';
import { type Bilingual, type Html, html } from '../html.ts';
import { drawAxes, drawLine, extent, frame, legend } from '../plot.ts';
import type { AttentionCosts, JobResults } from '../results.ts';
import { doublingScale, logScale } from '../scale.ts';
import { paragraph, type Section, whole } from './section.ts';

const area = frame(460, 320, { left: 80, right: 26 });

/** The costs of attention by context length: memory and operations. */
export function costSection({ families, costs }: JobResults, ids: Ids): Section {
  const last = costs.trained.map(({ title, points }) => ({ title, ...points.at(-1)! }));
  const context = last[0]?.context ?? 0;
  const computed = last.map(({ title, cacheBytes }) => `${title} ${whole(cacheBytes / 1024)} KiB`).join(', ');
  const measured = families
    .map(
      ({ title, cacheBytesPerToken, cacheContext }) =>
        `${title} ${whole((cacheBytesPerToken * cacheContext) / 1024)} KiB`,
    )
    .join(', ');
  const names = costs.published.map(({ title }) => title);
  return {
    id: 'costs',
    title: { en: 'Why attention changed: lower cost', ko: '왜 어텐션이 바뀌었는가: 비용을 줄이려고' },
    content: [
      paragraph({
        en: 'To generate a token, attention reads the keys and values of every token before it, from a cache that grows with the context. With grouped queries, several query heads share one key and value head, which shrinks the cache by that factor. A local layer with a sliding window looks back only a fixed number of tokens: beyond the window, neither its cache nor its operations grow. Gemma 2 alternates such layers with global ones.',
        ko: '토큰 하나를 생성할 때 어텐션은 앞선 모든 토큰의 키와 값을 읽습니다. 이들은 문맥과 함께 커지는 캐시에 보관됩니다. 그룹 쿼리는 여러 쿼리 헤드가 키·값 헤드 하나를 나눠 쓰게 하여 캐시를 그만큼 줄입니다. 슬라이딩 윈도우를 쓰는 지역 층은 정해진 수의 토큰만 돌아보므로, 윈도우를 넘어서면 캐시도 연산도 더 늘지 않습니다. Gemma 2는 이런 층과 전역 층을 번갈아 둡니다.',
      }),
      paragraph({
        en: `At ${whole(context)} tokens the trained models’ last token reads ${computed}. Measured in the caches after that many tokens: ${measured} (a rolling cache holds one token less: the new one is added when it is read).`,
        ko: `${whole(context)}토큰에서 학습된 모델의 마지막 토큰이 읽는 양: ${computed}. 그만큼의 토큰 뒤에 실제 캐시에서 잰 양: ${measured} (순환 캐시는 새 토큰이 들어올 때 더해지므로 한 토큰 적게 담고 있습니다).`,
      }),
      panels(ids, {
        area,
        above: legend(
          families.map(({ title }, i) => ({ name: `${title} (${names[i]})`, ...familyStyle(i) })),
        ),
        caption: {
          en: `For the last token of each context, from the models’ modules; logarithmic scales. Top: the trained models, caches in float32. Bottom: the best-known sizes (${names.join(', ')}), caches in bfloat16, up to their maximum positions; these models differ in size, so compare the slopes.`,
          ko: `각 문맥의 마지막 토큰에 대해 모델의 모듈에서 계산, 로그 눈금. 위: 학습된 모델, float32 캐시. 아래: 잘 알려진 크기(${names.join(', ')}), bfloat16 캐시, 위치가 허용하는 데까지. 모델 크기가 서로 다르므로 기울기를 비교하세요.`,
        },
        list: [
          {
            title: { en: 'Trained: cache', ko: '학습된 모델: 캐시' },
            content: chart(costs.trained, 'cacheBytes'),
          },
          {
            title: { en: 'Trained: attention’s operations', ko: '학습된 모델: 어텐션 연산' },
            content: chart(costs.trained, 'flops'),
          },
          {
            title: { en: 'Published sizes: cache', ko: '공개된 크기: 캐시' },
            content: chart(costs.published, 'cacheBytes'),
          },
          {
            title: { en: 'Published sizes: attention operations', ko: '공개된 크기: 어텐션 연산' },
            content: chart(costs.published, 'flops'),
          },
        ],
      }),
    ],
  };
}

const LABELS: Readonly<Record<'cacheBytes' | 'flops', Bilingual>> = {
  cacheBytes: { en: 'bytes read per token', ko: '토큰당 읽는 바이트' },
  flops: { en: 'operations per token', ko: '토큰당 연산 수' },
};

function chart(models: readonly AttentionCosts[], what: 'cacheBytes' | 'flops'): Html {
  const { x, y } = extent(area);
  const points = models.flatMap((model) => model.points);
  const contexts = points.map(({ context }) => context);
  const values = points.map((point) => point[what]);
  const axes = {
    x: doublingScale(Math.min(...contexts), Math.max(...contexts), ...x),
    y: logScale(Math.min(...values) / 1.5, Math.max(...values) * 1.5, ...y),
    xLabel: { en: 'context, tokens', ko: '문맥 (토큰)' },
    yLabel: LABELS[what],
    yTick: (value: number) => withUnit(value, what === 'cacheBytes' ? 'B' : ''),
  };
  const lines = models.map(({ points: own }, i) =>
    drawLine(
      own.map((point) => [point.context, point[what]] as const),
      axes,
      familyStyle(i),
    ),
  );
  return html`${drawAxes(area, axes)}${lines}`;
}

/** 20000 → 20 k, in decimal steps like the axis. */
function withUnit(value: number, unit: string): string {
  const prefixes = ['', 'k', 'M', 'G', 'T'];
  const power = Math.min(prefixes.length - 1, Math.floor(Math.log10(value) / 3 + 1e-9));
  return `${Number((value / 1000 ** power).toPrecision(3))} ${prefixes[power]}${unit}`.trim();
}
