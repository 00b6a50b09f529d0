/** The Ablation view. */
export const en = {
  lead: 'The way from one family to another in single changes: every model on it was trained on the same text, with the same budget and several seeds. What does each change gain?',
  choose: 'Ablation',
  open: 'Open an ablation.json',
  opened: 'Opened by you',
  none: 'There is no ablation here yet.',
  how: 'Run this, then “ropewalk explore” again, or open the ablation.json that it writes:',
  settings: (from: string, to: string) => `From ${from} to ${to}`,
  budget: (steps: string, tokens: string, seeds: number) =>
    `Each model: ${steps} steps of ${tokens} tokens, ${seeds} ${seeds === 1 ? 'seed' : 'seeds'}.`,
  picture: 'Held-out loss, speed of training and cache of each model; lines are 95 % confidence intervals.',
  pictures: {
    loss: 'Held-out loss; lines are 95 % confidence intervals.',
    speed: 'Speed of training; lines are 95 % confidence intervals.',
    cache: 'Cache at the longest context.',
  },
  table: 'What each change gains',
  model: 'Change',
  see: 'See the change',
};

export const ko: typeof en = {
  lead: '한 계열에서 다른 계열까지 부품을 하나씩 바꾸며 갑니다. 모든 모델은 같은 텍스트에서 같은 예산과 여러 시드로 학습했습니다. 각 변경은 무엇을 얻게 할까요?',
  choose: '절제 연구',
  open: 'ablation.json 열기',
  opened: '직접 연 파일',
  none: '아직 절제 연구가 없습니다.',
  how: '다음을 실행한 뒤 “ropewalk explore”를 다시 실행하거나, 만들어진 ablation.json을 여세요:',
  settings: (from, to) => `${from}에서 ${to}까지`,
  budget: (steps, tokens, seeds) => `모델마다 토큰 ${tokens}개씩 ${steps}단계, 시드 ${seeds}개.`,
  picture: '모델별 검증 손실, 학습 속도, 캐시. 가로줄은 95 % 신뢰 구간.',
  pictures: {
    loss: '검증 손실. 가로줄은 95 % 신뢰 구간.',
    speed: '학습 속도. 가로줄은 95 % 신뢰 구간.',
    cache: '최대 문맥에서의 캐시.',
  },
  table: '변경마다 얻는 것',
  model: '변경',
  see: '변경 보기',
};
