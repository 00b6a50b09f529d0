/** The Compare view. */
export const en = {
  lead: 'Two to four models, described by the very modules that run them: tables as in the study note, and block diagrams in which the same place holds the same role.',
  column: (number: number) => `Model ${number}`,
  families: 'Families',
  sizes: (title: string) => `${title}, all sizes`,
  tiny: 'tiny',
  two: 'Choose at least two models.',
  twice: 'Each model can stand here once.',
  tables: 'What differs',
  feature: 'Feature',
  all: 'All rows',
  diagram: 'Block by block',
  diagramHint:
    'Choose a block to see its formula, its weights, its cost, what it replaced, and the code that runs it.',
  part: {
    formula: 'Formula',
    weights: 'Weights in this model',
    weight: 'Weight',
    shape: 'Shape',
    copies: 'Copies',
    none: 'This part has no weights.',
    shared: 'Shares its weight with the token embedding.',
    parameters: 'Parameters',
    share: (percent: string) => `${percent} of the model`,
    cost: 'Cost of one token',
    context: 'Context',
    flops: 'Operations',
    cache: 'Keys and values kept (bfloat16)',
    replaced: 'What it replaced, and why',
    first: 'The first column: there is nothing to its left.',
    added: (left: string) => `${left} has nothing in this place.`,
    same: (left: string) => `${left} has the same part, with other numbers at most.`,
    changed: (left: string, title: string) => `In ${left} this place holds: ${title}.`,
    code: 'The TypeScript that runs it',
    from: (path: string, line: number) => `${path}, from line ${line}`,
    close: 'Close',
  },
  why: {
    embedding: 'A row of numbers for every token: the only place where the model learns what a token is.',
    scaledEmbedding:
      'The rows are multiplied by √width, so that a table that is also the output head starts with numbers as large as what the layers add.',
    sinusoidal:
      'Fixed waves of many lengths are added once, below the first layer. What a layer knows of positions must survive all layers below it.',
    learned:
      'A trained row for every position: simple, but nothing is known of positions that training never reached.',
    rotary:
      'Queries and keys are turned by their position in every layer, so that a score depends on the distance of two tokens alone, from the input to the output.',
    layerNorm:
      'Centers every row and scales it to length √width, so that numbers neither grow nor vanish from layer to layer.',
    rmsNorm:
      'Keeps what LayerNorm is for, the length of rows and with it the range of gradients, without the mean and the bias: less to compute, and nothing is lost.',
    headNorm:
      'Queries and keys of one length keep attention scores within range, without a soft-cap that fused kernels lack.',
    postNorm:
      'Also what a branch gives is normalized before it is added: the residual stream grows slowly, and training is stable.',
    multiHead:
      'Every head has queries, keys and values of its own; the cache holds the keys and values of all of them.',
    groupedQuery:
      'Several query heads share one key and value head: the cache and the memory traffic shrink by that factor, at next to no loss.',
    multiQuery: 'All query heads share one key and value head: the smallest cache.',
    local:
      'Local layers look back a fixed number of tokens: past the window neither their cache nor their operations grow. Global layers in between see everything.',
    capped: 'Scores are kept within ±cap, so that no single one takes all of the attention.',
    relu: 'Cuts off all that is negative: simple, but where it cuts no gradient passes.',
    gelu: 'Bends smoothly where ReLU cuts: a gradient passes everywhere.',
    geglu: 'One half of the hidden layer, bent smoothly by GELU, decides how much of the other half passes.',
    swiglu:
      'One half of the hidden layer, by SiLU (Swish), decides how much of the other half passes: what matters is stressed.',
    head: 'A score for every token of the vocabulary: the logit, the value just before the prediction.',
    tied: 'The token embedding serves as the output head too: one matrix less to train and to keep.',
    cap: 'Logits are bent into ±cap: the model is kept from extreme predictions, and its gradients from extreme errors.',
    tokens: 'Text, cut into pieces that have numbers.',
    logits: 'The values from which the next token is chosen.',
  },
};

export const ko: typeof en = {
  lead: '실제로 실행되는 모듈에서 읽어 낸 두 개에서 네 개까지의 모델: 학습 노트와 같은 표, 그리고 같은 자리가 같은 역할을 하는 블록 다이어그램.',
  column: (number) => `모델 ${number}`,
  families: '모델 계열',
  sizes: (title) => `${title}, 모든 크기`,
  tiny: 'tiny',
  two: '모델을 두 개 이상 고르세요.',
  twice: '같은 모델은 한 번만 놓을 수 있습니다.',
  tables: '무엇이 다른가',
  feature: '항목',
  all: '모든 항목',
  diagram: '블록으로 나란히',
  diagramHint: '블록을 고르면 수식, 가중치, 비용, 무엇을 왜 대체했는지, 실행하는 코드가 나옵니다.',
  part: {
    formula: '수식',
    weights: '이 모델의 가중치',
    weight: '가중치',
    shape: '형태',
    copies: '개수',
    none: '이 부품에는 가중치가 없습니다.',
    shared: '토큰 임베딩과 가중치를 공유합니다.',
    parameters: '파라미터',
    share: (percent) => `모델의 ${percent}`,
    cost: '토큰 하나의 비용',
    context: '문맥 길이',
    flops: '연산',
    cache: '보관하는 키와 값 (bfloat16)',
    replaced: '무엇을 왜 대체했나',
    first: '첫 번째 열이라 왼쪽에 비교할 모델이 없습니다.',
    added: (left) => `${left}에는 이 자리에 아무것도 없습니다.`,
    same: (left) => `${left}에도 같은 부품이 있고, 다르다면 수치뿐입니다.`,
    changed: (left, title) => `${left}에서는 이 자리가 다음과 같습니다: ${title}.`,
    code: '실행하는 TypeScript',
    from: (path, line) => `${path}, ${line}번째 줄부터`,
    close: '닫기',
  },
  why: {
    embedding: '토큰마다 숫자 한 줄: 모델이 토큰이 무엇인지 배우는 유일한 곳입니다.',
    scaledEmbedding:
      '각 줄에 √차원을 곱합니다. 출력 헤드로도 쓰이는 표가 층들이 더하는 값과 비슷한 크기에서 시작하도록 하기 위해서입니다.',
    sinusoidal:
      '여러 파장의 고정된 파동을 첫 층 아래에서 한 번 더합니다. 위치 정보는 그 뒤의 모든 층을 지나며 살아남아야 합니다.',
    learned: '위치마다 학습된 줄 하나: 단순하지만 학습에서 만나지 못한 위치는 전혀 알지 못합니다.',
    rotary:
      '층마다 쿼리와 키를 위치만큼 돌립니다. 그래서 점수는 입력부터 출력까지 두 토큰 사이의 거리에만 달려 있습니다.',
    layerNorm:
      '각 줄의 중심을 맞추고 길이를 √차원으로 맞춥니다. 값이 층을 지나며 커지거나 사라지지 않게 합니다.',
    rmsNorm:
      'LayerNorm의 목적인 줄의 길이, 곧 기울기의 범위는 지키면서 평균과 편향을 없앴습니다. 계산은 줄고 잃는 것은 없습니다.',
    headNorm:
      '쿼리와 키의 길이를 맞춰 어텐션 점수를 범위 안에 둡니다. 융합 커널이 지원하지 않는 소프트캡 없이도 됩니다.',
    postNorm: '가지가 내놓는 값도 더하기 전에 정규화합니다. 잔차 스트림이 천천히 자라 학습이 안정됩니다.',
    multiHead: '헤드마다 쿼리, 키, 값을 따로 가집니다. 캐시는 모든 헤드의 키와 값을 담습니다.',
    groupedQuery:
      '여러 쿼리 헤드가 키·값 헤드 하나를 나눠 씁니다. 성능은 거의 그대로이면서 캐시와 메모리 이동이 그만큼 줄어듭니다.',
    multiQuery: '모든 쿼리 헤드가 키·값 헤드 하나를 나눠 씁니다. 캐시가 가장 작습니다.',
    local:
      '로컬 층은 정해진 수의 토큰만 돌아봅니다. 윈도우를 넘어서면 캐시도 연산도 늘지 않습니다. 사이의 글로벌 층은 모든 토큰을 봅니다.',
    capped: '점수를 ±상한 안에 두어 어느 하나가 어텐션을 독차지하지 못하게 합니다.',
    relu: '음수를 모두 잘라냅니다. 단순하지만 잘린 곳으로는 기울기가 흐르지 않습니다.',
    gelu: 'ReLU가 자르는 곳을 부드럽게 굽힙니다. 어디서나 기울기가 흐릅니다.',
    geglu: '은닉층의 절반을 GELU로 부드럽게 굽혀, 나머지 절반이 얼마나 통과할지 정합니다.',
    swiglu:
      '은닉층의 절반이 SiLU(Swish)를 거쳐 나머지 절반이 얼마나 통과할지 정합니다. 중요한 것이 강조됩니다.',
    head: '어휘의 모든 토큰에 대한 점수: 예측 바로 앞의 값인 로짓입니다.',
    tied: '토큰 임베딩을 출력 헤드로도 씁니다. 학습하고 보관할 행렬이 하나 줄어듭니다.',
    cap: '로짓을 ±상한 안으로 굽힙니다. 모델이 극단적인 예측을, 기울기가 극단적인 오차를 피합니다.',
    tokens: '번호가 붙은 조각으로 자른 텍스트.',
    logits: '다음 토큰을 고르는 값.',
  },
};
