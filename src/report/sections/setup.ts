import { type Bilingual, both, html } from '../html.ts';
import type { JobResults } from '../results.ts';
import { type Section, whole } from './section.ts';

/** Everything that the numbers depend on: settings, text, machine and versions. */
export function setupSection({ settings, surroundings, corpus }: JobResults): Section {
  const { batch, seq, training } = settings;
  const rows: readonly (readonly [Bilingual, Bilingual | string])[] = [
    [{ en: 'Text', ko: '텍스트' }, corpus.title],
    [
      { en: 'Tokenizer', ko: '토크나이저' },
      {
        en: `byte-level BPE trained on the text, ${whole(corpus.vocabSize)} tokens (${(corpus.characters / corpus.tokens).toFixed(2)} characters each on average)`,
        ko: `이 텍스트로 학습한 바이트 수준 BPE, 토큰 ${whole(corpus.vocabSize)}개 (토큰당 평균 ${(corpus.characters / corpus.tokens).toFixed(2)}자)`,
      },
    ],
    [
      { en: 'Tokens', ko: '토큰 수' },
      {
        en: `${whole(corpus.trainingTokens)} for training, the last ${whole(corpus.validationTokens)} held out`,
        ko: `학습용 ${whole(corpus.trainingTokens)}개, 마지막 ${whole(corpus.validationTokens)}개는 검증용`,
      },
    ],
    [
      { en: 'Training', ko: '학습' },
      {
        en: `${whole(training.steps)} steps of ${batch} × ${seq} tokens (${whole(training.steps * batch * seq)} tokens); AdamW, peak learning rate ${training.lr} after ${training.warmup} steps, then a cosine; weight decay ${training.weightDecay}, gradient norm clipped at ${training.clip}, seed ${training.seed}`,
        ko: `${batch} × ${seq}토큰씩 ${whole(training.steps)}단계(모두 ${whole(training.steps * batch * seq)}토큰), AdamW, ${training.warmup}단계에서 최고 학습률 ${training.lr}, 그 뒤 코사인 감소, 가중치 감쇠 ${training.weightDecay}, 기울기 크기 상한 ${training.clip}, 시드 ${training.seed}`,
      },
    ],
    [
      { en: 'Speeds', ko: '속도' },
      {
        en: `training with ${surroundings.threads} threads (median over the steps); decoding with one thread, one sequence, through the cache`,
        ko: `학습은 스레드 ${surroundings.threads}개(단계들의 중앙값), 생성은 스레드 하나로 한 문장씩 캐시를 써서`,
      },
    ],
    [{ en: 'Machine', ko: '컴퓨터' }, surroundings.machine],
    [
      { en: 'Versions', ko: '버전' },
      Object.entries(surroundings.versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(', '),
    ],
    [{ en: 'Begun', ko: '시작' }, surroundings.date],
  ];
  const items = rows.map(
    ([name, value]) =>
      html`<dt>${both(name)}</dt><dd>${typeof value === 'string' ? value : both(value)}</dd>`,
  );
  return {
    id: 'setup',
    title: { en: 'How this was measured', ko: '측정 방법' },
    content: html`<dl>${items}</dl>`,
  };
}
