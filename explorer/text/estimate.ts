/** The Estimate view. */
export const en = {
  lead: 'What models take, from their modules and from the shapes of the graphs that would run; no weights are loaded. “ropewalk estimate” prints the same numbers.',
  first: 'Model',
  second: 'Beside it',
  context: 'Context',
  batch: 'Rows of a step',
  seq: 'Tokens of a row',
  optimizer: 'Optimizer and its state',
  optimizers: {
    'adamw float32': 'AdamW, float32',
    'adamw bfloat16': 'AdamW, bfloat16',
    'adamw int8': 'AdamW, int8',
    adafactor: 'Adafactor',
    sgd: 'SGD',
  },
  parameters: 'Parameters by part',
  numbers: 'In numbers',
  training: 'Memory of a step of full fine-tuning',
  trainingLead:
    'fast computes nothing twice; recompute makes the forward pass of each block twice; light also updates a block as soon as its gradient exists.',
  kinds: {
    weights: 'weights',
    gradients: 'gradients',
    optimizer: 'optimizer state',
    activations: 'activations',
    program: 'program',
  },
  computing: 'Recording the graphs of training …',
};

export const ko: typeof en = {
  lead: '모델이 무엇을 얼마나 쓰는지 모듈과 실행될 그래프의 형태에서 계산합니다. 가중치는 불러오지 않습니다. “ropewalk estimate”가 같은 수를 출력합니다.',
  first: '모델',
  second: '나란히 볼 모델',
  context: '문맥 길이',
  batch: '한 단계의 행 수',
  seq: '한 행의 토큰 수',
  optimizer: '옵티마이저와 상태',
  optimizers: {
    'adamw float32': 'AdamW, float32',
    'adamw bfloat16': 'AdamW, bfloat16',
    'adamw int8': 'AdamW, int8',
    adafactor: 'Adafactor',
    sgd: 'SGD',
  },
  parameters: '부품별 파라미터',
  numbers: '수치',
  training: '풀 파인튜닝 한 단계의 메모리',
  trainingLead:
    'fast는 아무것도 두 번 계산하지 않고, recompute는 블록마다 순전파를 두 번 하며, light는 기울기가 나오는 대로 블록을 갱신합니다.',
  kinds: {
    weights: '가중치',
    gradients: '기울기',
    optimizer: '옵티마이저 상태',
    activations: '활성값',
    program: '프로그램',
  },
  computing: '학습 그래프를 기록하는 중 …',
};
