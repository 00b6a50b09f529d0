import type { TrainDevice } from '../worker/train-protocol.ts';

/** The Train view. */
export const en = {
  lead: 'A tiny model learns in this page, from random weights: watch its loss fall past that of a bigram, read what it writes meanwhile, and keep it. Exchange one part, and both learn side by side on the same text.',
  family: 'Family',
  exchange: 'Exchange a part in a second model',
  noExchange: 'none: one model',
  exchanges: {
    norm: 'Norm',
    layerNorms: 'Place of the norms',
    positions: 'Positions',
    activation: 'Activation',
    gated: 'Gate of the MLP',
    kvHeads: 'Key and value heads',
    window: 'Local window',
    attentionCap: 'Cap in attention',
    finalCap: 'Cap of the logits',
  },
  values: { null: 'none', true: 'gated', false: 'not gated' } as Readonly<Record<string, string>>,
  text: 'Text',
  texts: { own: 'Your own', builtIn: 'Moby-Dick' },
  paste: 'Paste some text here: a few thousand words at least.',
  device: 'Trains on',
  devices: { auto: 'Automatic', webgpu: 'WebGPU', wasm: 'WebAssembly' },
  trainsOn: ({ kind, threads, why, difference = 0, problem, since }: TrainDevice) => {
    const share = difference.toExponential(1);
    if (kind === 'webgpu')
      return `Trains on WebGPU, where the weights stay: its loss and gradients are WebAssembly’s to ${share}.`;
    const reason = {
      agrees: '',
      chosen: 'you chose it',
      none: 'this browser offers no WebGPU',
      software: 'WebGPU computes in software here, which is slower',
      differs: `WebGPU’s loss or gradients differ by ${share}`,
      kernel: 'WebGPU lacks an operator that this model needs',
      memory: 'the graphics card has too little memory',
      lost: 'the graphics card stopped or was taken away',
      failed: `WebGPU fails here (${problem})`,
    }[why];
    const from = since === undefined ? '' : `, from step ${since} on`;
    return `Trains on WebAssembly with ${threads === 1 ? 'one thread' : `${threads} threads`}${from}: ${reason}.`;
  },
  steps: 'Steps',
  start: 'Start',
  again: 'Start anew',
  pause: 'Pause',
  go: 'Go on',
  phases: {
    tokenizer: 'Training a tokenizer …',
    encoding: 'Cutting the text into tokens …',
    compiling: 'Compiling the training graph …',
    training: 'Training',
    paused: 'Paused',
    done: 'Finished',
  },
  corpus: (tokens: string, vocab: number) => `${tokens} tokens, vocabulary of ${vocab}`,
  loss: 'Loss',
  lossLabel:
    'Loss on training tokens, smoothed; circles: on held-out tokens. Dashed: a bigram fitted to the same training tokens, on the same held-out ones.',
  step: 'step',
  nats: 'loss, nats per token',
  bigram: (loss: string) => `bigram ${loss}`,
  heldOut: 'held-out loss',
  beaten: 'below the bigram',
  speed: (tokens: string) => `${tokens} tokens/s`,
  atStep: (step: number, steps: number) => `step ${step} of ${steps}`,
  sample: 'What it writes',
  sampleAt: (step: number) => `after ${step} steps`,
  download: 'Download as a Hugging Face directory (.zip)',
  use: 'Open it in the other views',
  used: 'It is among the models of the other views now.',
};

export const ko: typeof en = {
  lead: '작은 모델이 이 페이지에서 무작위 가중치부터 배웁니다. 손실이 바이그램 아래로 내려가는 것을 보고, 그동안 모델이 쓰는 글을 읽고, 모델을 내려받으세요. 부품 하나를 바꾸면 두 모델이 같은 텍스트로 나란히 배웁니다.',
  family: '계열',
  exchange: '두 번째 모델에서 바꿀 부품',
  noExchange: '없음: 모델 하나',
  exchanges: {
    norm: '정규화',
    layerNorms: '정규화 위치',
    positions: '위치',
    activation: '활성화 함수',
    gated: 'MLP 게이트',
    kvHeads: '키·값 헤드 수',
    window: '로컬 윈도우',
    attentionCap: '어텐션 상한',
    finalCap: '로짓 상한',
  },
  values: { null: '없음', true: '게이트 있음', false: '게이트 없음' },
  text: '텍스트',
  texts: { own: '직접 입력', builtIn: '모비 딕' },
  paste: '텍스트를 붙여 넣으세요. 적어도 몇천 단어가 필요합니다.',
  device: '학습 장치',
  devices: { auto: '자동', webgpu: 'WebGPU', wasm: 'WebAssembly' },
  trainsOn: ({ kind, threads, why, difference = 0, problem, since }) => {
    // A hyphen at which no line is broken.
    const share = difference.toExponential(1).replace('-', '\u2011');
    if (kind === 'webgpu')
      return `WebGPU에서 학습하며 가중치도 그곳에 머뭅니다. WebAssembly와 비교한 손실과 기울기의 차이는 ${share}배입니다.`;
    const reason = {
      agrees: '',
      chosen: '직접 고른 장치입니다',
      none: '이 브라우저에는 WebGPU가 없습니다',
      software: '여기서는 WebGPU를 소프트웨어로 계산해 더 느립니다',
      differs: `WebGPU의 손실이나 기울기가 ${share}배만큼 다릅니다`,
      kernel: '이 모델에 필요한 연산이 WebGPU에 없습니다',
      memory: '그래픽 카드의 메모리가 모자랍니다',
      lost: '그래픽 카드가 멈췄거나 분리됐습니다',
      failed: `WebGPU가 여기서 동작하지 않습니다 (${problem})`,
    }[why];
    const from = since === undefined ? '' : ` ${since}단계부터`;
    return `${from} WebAssembly에서 스레드 ${threads}개로 학습합니다. ${reason}.`.trim();
  },
  steps: '단계 수',
  start: '시작',
  again: '새로 시작',
  pause: '일시 정지',
  go: '계속',
  phases: {
    tokenizer: '토크나이저 학습 중 …',
    encoding: '텍스트를 토큰으로 나누는 중 …',
    compiling: '학습 그래프 컴파일 중 …',
    training: '학습 중',
    paused: '일시 정지',
    done: '끝',
  },
  corpus: (tokens, vocab) => `토큰 ${tokens}개, 어휘 ${vocab}개`,
  loss: '손실',
  lossLabel:
    '학습 토큰의 손실(평활화). 원은 검증 토큰의 손실. 점선은 같은 학습 토큰으로 만든 바이그램이 같은 검증 토큰에서 얻은 손실.',
  step: '단계',
  nats: '손실 (토큰당 nats)',
  bigram: (loss) => `바이그램 ${loss}`,
  heldOut: '검증 손실',
  beaten: '바이그램보다 낮음',
  speed: (tokens) => `초당 ${tokens}토큰`,
  atStep: (step, steps) => `${steps}단계 중 ${step}단계`,
  sample: '모델이 쓴 글',
  sampleAt: (step) => `${step}단계 뒤`,
  download: 'Hugging Face 폴더로 내려받기 (.zip)',
  use: '다른 화면에서 열기',
  used: '이제 다른 화면의 모델 목록에 있습니다.',
};
