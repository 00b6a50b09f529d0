import type { EngineChoice } from '../worker/protocol.ts';

/** The frame around all views. */
export const en = {
  title: 'Ropewalk explorer',
  tagline: 'See the difference between decoder-only language models, computed in this page.',
  skip: 'Skip to the view',
  views: {
    run: 'Run',
    compare: 'Compare',
    parts: 'Parts',
    train: 'Train',
    ablation: 'Ablation',
    estimate: 'Estimate',
    open: 'Open',
  },
  viewsLabel: 'Views',
  language: 'Language',
  theme: 'Colors',
  themes: { auto: 'System', light: 'Light', dark: 'Dark' },
  model: 'Model',
  none: 'none',
  loading: 'Loading …',
  opening: (name: string) => `Opening ${name} …`,
  failed: 'This did not work',
  unexpected: (message: string) => `Unexpected error: ${message}`,
  memory:
    'The memory of the page was not enough for this. What held it has been closed; take a smaller model or a shorter text and go on.',
  engine: ({ kind, threads, why, difference, problem }: EngineChoice) => {
    const share = difference === undefined ? '' : difference.toExponential(1);
    if (kind === 'webgpu') return `Runs on WebGPU: its logits are WebAssembly’s to ${share} of the largest.`;
    const threadsText = threads === 1 ? 'one thread' : `${threads} threads`;
    const reason = {
      agrees: '',
      none: 'this browser offers no WebGPU',
      differs: `WebGPU’s logits differ by ${share} of the largest`,
      failed: `WebGPU fails here (${problem})`,
    }[why];
    return `Runs on WebAssembly with ${threadsText}: ${reason}.`;
  },
  noModels: 'There are no trained models here yet.',
  noModelsHow:
    'Run “npm start” or “npm run explorer:build” and serve again, let a model learn under Train, or give one of your own under Open. Compare, Parts and Estimate need none.',
  ownModels: 'Opened by you',
  siteModels: 'Trained',
};

export const ko: typeof en = {
  title: 'Ropewalk 탐색기',
  tagline: '디코더 전용 언어 모델이 서로 어떻게 다른지, 이 페이지에서 직접 계산해 보여 줍니다.',
  skip: '본문으로 건너뛰기',
  views: {
    run: '실행',
    compare: '비교',
    parts: '부품',
    train: '학습',
    ablation: '절제 연구',
    estimate: '견적',
    open: '열기',
  },
  viewsLabel: '화면',
  language: '언어',
  theme: '색상',
  themes: { auto: '시스템', light: '밝게', dark: '어둡게' },
  model: '모델',
  none: '없음',
  loading: '불러오는 중 …',
  opening: (name) => `${name} 여는 중 …`,
  failed: '실행하지 못했습니다',
  unexpected: (message) => `예상하지 못한 오류: ${message}`,
  memory:
    '이 작업에는 페이지의 메모리가 모자랐습니다. 메모리를 쓰던 모델을 닫았으니, 더 작은 모델이나 더 짧은 텍스트로 계속하세요.',
  engine: ({ kind, threads, why, difference, problem }) => {
    const share = difference === undefined ? '' : difference.toExponential(1);
    if (kind === 'webgpu')
      return `WebGPU에서 실행됩니다. WebAssembly 로짓과의 차이는 가장 큰 로짓의 ${share}배입니다.`;
    const reason = {
      agrees: '',
      none: '이 브라우저에는 WebGPU가 없습니다',
      differs: `WebGPU 로짓의 차이가 가장 큰 로짓의 ${share}배나 됩니다`,
      failed: `WebGPU가 여기서 동작하지 않습니다 (${problem})`,
    }[why];
    return `WebAssembly에서 스레드 ${threads}개로 실행됩니다. ${reason}.`;
  },
  noModels: '아직 학습된 모델이 없습니다.',
  noModelsHow:
    '“npm start”나 “npm run explorer:build”를 실행한 뒤 다시 열거나, 학습 화면에서 모델을 가르치거나, 열기 화면에서 가진 모델을 여세요. 비교, 부품, 견적에는 모델이 없어도 됩니다.',
  ownModels: '직접 연 모델',
  siteModels: '학습된 모델',
};
