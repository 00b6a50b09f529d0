import type { Bilingual } from './html.ts';
import type { FamilyResult, JobResults } from './results.ts';

export interface MeasuredRow {
  readonly name: Bilingual;
  /** One per family, in the order of the results. */
  readonly values: readonly string[];
}

/** The measured rows of the comparison, for the terminal and the report. */
export function measuredRows({ families, corpus }: JobResults): MeasuredRow[] {
  const row = (en: string, ko: string, value: (family: FamilyResult) => string): MeasuredRow => ({
    name: { en, ko },
    values: families.map(value),
  });
  const whole = (value: number) => Math.round(value).toLocaleString('en');
  const context = families[0]?.cacheContext ?? 0;
  return [
    row('Parameters', '파라미터 수', ({ parameters }) => whole(parameters)),
    row('Held-out loss (nats/token)', '검증 손실 (nats/토큰)', ({ validationLoss }) =>
      validationLoss.toFixed(3),
    ),
    row('Perplexity', '퍼플렉서티', ({ validationLoss }) => Math.exp(validationLoss).toFixed(1)),
    row(
      `Below the bigram (${corpus.bigramLoss.toFixed(3)}) by`,
      `바이그램(${corpus.bigramLoss.toFixed(3)})보다 낮은 정도`,
      ({ validationLoss }) => (corpus.bigramLoss - validationLoss).toFixed(3),
    ),
    row(
      `Below the unigram (${corpus.unigramLoss.toFixed(3)}) by`,
      `유니그램(${corpus.unigramLoss.toFixed(3)})보다 낮은 정도`,
      ({ validationLoss }) => (corpus.unigramLoss - validationLoss).toFixed(3),
    ),
    row('Training, tokens/s', '학습 속도 (토큰/초)', ({ trainTokensPerSecond }) =>
      whole(trainTokensPerSecond),
    ),
    row('Decoding, tokens/s', '생성 속도 (토큰/초)', ({ decodeTokensPerSecond }) =>
      whole(decodeTokensPerSecond),
    ),
    row(
      `Cache bytes per token (of ${context})`,
      `토큰당 캐시 바이트 (${context}토큰 중)`,
      ({ cacheBytesPerToken }) => whole(cacheBytesPerToken),
    ),
  ];
}
