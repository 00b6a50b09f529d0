import { Ids } from './figure.ts';
import type { Html, Locale } from './html.ts';
import { measuredTable } from './measured-table.ts';
import { drawPage } from './page.ts';
import type { JobResults } from './results.ts';
import { activationSection } from './sections/activations.ts';
import { costSection } from './sections/attention-costs.ts';
import { capSection } from './sections/caps.ts';
import { gradientSection } from './sections/gradients.ts';
import { lossSection } from './sections/losses.ts';
import { positionSection } from './sections/positions.ts';
import { sampleSection } from './sections/samples.ts';
import { paragraph, type Section, whole } from './sections/section.ts';
import { setupSection } from './sections/setup.ts';
import { diagramSection, structureSection } from './sections/structure.ts';

/**
 * The report of the main job: a self-contained HTML page in English and Korean.
 *
 * @param locale the language shown first; the reader can choose the other.
 */
export function buildReport(results: JobResults, locale: Locale = 'en'): string {
  const ids = new Ids();
  const sections: Section[] = [
    resultSection(results),
    structureSection(results),
    diagramSection(results),
    lossSection(results, ids),
    sampleSection(results),
    gradientSection(results, ids),
    positionSection(results, ids),
    activationSection(results, ids),
    capSection(results, ids),
    costSection(results, ids),
    setupSection(results),
  ];
  return drawPage({
    locale,
    title: 'Ropewalk: GPT, Gemma, Gemma 2, Llama 3',
    heading: { en: 'Four language models, trained and measured', ko: '네 언어 모델을 학습하고 재다' },
    lead: introduction(results),
    sections,
  });
}

function introduction({ families, settings }: JobResults): Html {
  const tokens = whole(settings.training.steps * settings.batch * settings.seq);
  const names = families.map(({ title }) => title).join(', ');
  return paragraph(
    {
      en: `${names}: one small model of each family, trained from scratch on the same ${tokens} tokens of one novel with Ropewalk. Unless stated otherwise, every number and figure on this page was measured on these models.`,
      ko: `${names}: 계열마다 작은 모델 하나씩을 같은 소설의 같은 ${tokens}토큰으로 처음부터 Ropewalk로 학습했습니다. 따로 밝히지 않은 모든 숫자와 그림은 바로 이 모델들에서 잰 것입니다.`,
    },
    'lead',
  );
}

function resultSection(results: JobResults): Section {
  const { families, corpus } = results;
  const sorted = [...families].sort((a, b) => a.validationLoss - b.validationLoss);
  const worst = sorted.at(-1)!;
  const best = sorted[0]!;
  const margin = corpus.bigramLoss - worst.validationLoss;
  return {
    id: 'results',
    title: { en: 'Results', ko: '결과' },
    content: [
      paragraph(
        margin > 0
          ? {
              en: `Every model predicts the held-out text better than a bigram does, by at least ${margin.toFixed(2)} nats per token (${worst.title}); ${best.title} is best with a loss of ${best.validationLoss.toFixed(3)}.`,
              ko: `모든 모델이 검증 텍스트를 바이그램보다 토큰당 최소 ${margin.toFixed(2)} nats(${worst.title}) 더 잘 예측합니다. 가장 좋은 것은 손실 ${best.validationLoss.toFixed(3)}의 ${best.title}입니다.`,
            }
          : {
              en: `After so few steps, not every model beats the bigram: ${worst.title} is ${(-margin).toFixed(2)} nats per token worse.`,
              ko: `단계 수가 적어 모든 모델이 바이그램을 넘지는 못했습니다. ${worst.title}은(는) 토큰당 ${(-margin).toFixed(2)} nats 뒤집니다.`,
            },
      ),
      measuredTable(results),
      paragraph(
        {
          en: 'At this size, the ranking says little about the large models. The table shows that each family learns, and what it costs.',
          ko: '이렇게 작은 경주에서 누가 앞서는지는 큰 모델에 대해 말해 주는 것이 거의 없습니다. 이 표는 모두가 배운다는 것과 저마다의 비용을 보여 줍니다.',
        },
        'notes',
      ),
    ],
  };
}
