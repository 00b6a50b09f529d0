import { html } from '../html.ts';
import type { JobResults } from '../results.ts';
import { paragraph, type Section } from './section.ts';

/** A sample from each model. */
export function sampleSection({ families, settings }: JobResults): Section {
  const { prompt, tokens, temperature, topP, seed } = settings.sample;
  return {
    id: 'samples',
    title: { en: 'Samples', ko: '모델이 쓴 글' },
    content: [
      paragraph({
        en: `The same prompt for all models (bold), at most ${tokens} new tokens, temperature ${temperature}, top-p ${topP}, seed ${seed}. Models of this size learn spelling, short words and sentence rhythm, not meaning.`,
        ko: `모두 같은 프롬프트(굵은 글씨), 새 토큰 최대 ${tokens}개, 온도 ${temperature}, top-p ${topP}, 시드 ${seed}. 이 크기의 모델은 철자와 짧은 단어와 문장의 리듬을 배우지만 뜻까지 배우지는 못합니다.`,
      }),
      families.map(
        ({ title, sample }) =>
          html`<h3>${title}</h3><blockquote lang="en"><strong>${prompt}</strong>${sample}</blockquote>`,
      ),
    ],
  };
}
