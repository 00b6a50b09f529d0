/** The Parts view. */
export const en = {
  lead: 'The parts that changed from GPT to Llama 3, to take in hand: on vectors, logits and sizes of real models.',
  part: 'Part',
  parts: {
    rope: 'RoPE',
    activation: 'Activations',
    norm: 'Norms',
    cap: 'Soft-cap',
    heads: 'Shared heads',
    cache: 'Cache',
  },
  text: 'Text',
  layer: 'Layer',
  rope: {
    explain:
      'Each pair of numbers of a query or key is a point on a disc. Its position turns it: fast discs tell neighbors apart, slow ones far places. Where query and key meet depends on their distance alone.',
    query: 'Position of the query',
    key: 'Position of the key',
    drag: 'Drag the discs sideways, turn them with the arrow keys, or use the sliders.',
    turnable: 'Discs: arrow keys move the query',
    disc: (pair: number) => `Pair ${pair}`,
    turn: (tokens: string) => `a turn in ${tokens} tokens`,
    distance: (tokens: number) => `Distance ${tokens}`,
    curve: 'Score of a query and a key that are equal, by their distance',
    axis: 'distance, tokens',
    score: 'score (1 at distance 0)',
    none: 'This model does not turn its queries and keys: choose one with RoPE.',
  },
  activation: {
    explain:
      'The bars are the values that the activation function of this layer really gets on the text. ReLU cuts off all below zero; GELU and SiLU bend. In a gated MLP the result decides how much of the other half passes.',
    uses: (name: string) => `This model has ${name}.`,
    below: (percent: string) =>
      `${percent} of the values are below zero: ReLU would let none of them pass, nor a gradient.`,
    x: 'value before the function',
    y: 'value after it',
    values: 'values that occur',
  },
  norm: {
    explain:
      'One row of the residual stream, as it enters the layer at the last token. Shift and scale it: LayerNorm undoes both, RMSNorm the scale alone, which is what keeps gradients in range.',
    shift: 'Add to every number',
    scale: 'Multiply every number by',
    raw: 'The vector',
    statistics: (mean: string, length: string) => `mean ${mean}, root mean square ${length}`,
  },
  cap: {
    explain:
      'The logits after the last token. A soft-cap bends them into ±cap: small ones hardly change, large ones come closer together, and no prediction can become extreme.',
    cap: 'Cap',
    own: (cap: string) => `The model’s own cap is ${cap}.`,
    ownNone: 'The model itself has no cap.',
    before: 'before',
    after: 'after',
    logit: 'logit before the cap',
    capped: 'logit after the cap',
    top: 'The five likeliest tokens',
    token: 'Token',
    without: 'Without the cap',
    with: 'With it',
  },
  heads: {
    explain:
      'Queries ask, keys and values answer. When several query heads share one key head, the cache shrinks by that factor, and so does what every new token must read.',
    kv: 'Key and value heads',
    queries: 'queries',
    keys: 'keys and values',
    picture: (heads: number, kv: number) => `${heads} query heads, ${kv} key and value heads`,
    perToken: 'Cache for one token (bfloat16)',
    at: (context: string) => `Cache at ${context} tokens`,
    own: (kv: number) => `The model itself has ${kv}.`,
    saved: (factor: string) =>
      `The cache is ${factor} times smaller than with a key head for every query head.`,
  },
  cache: {
    explain:
      'What the caches hold as the context grows. A global layer keeps every token; a local one stops at its window.',
    context: 'Context',
    layers: 'Tokens that each layer keeps',
    total: 'All layers together',
    local: (count: number, window: string) => `${count} local layers, window ${window}`,
    global: (count: number) => `${count} global layers`,
    allGlobal: 'If all layers were global',
    axis: 'context, tokens',
    bytes: 'bytes (bfloat16)',
  },
};

export const ko: typeof en = {
  lead: 'GPT에서 Llama 3까지 바뀐 부품을 직접 만져 보세요. 실제 모델의 벡터, 로짓, 크기로 움직입니다.',
  part: '부품',
  parts: {
    rope: 'RoPE',
    activation: '활성화 함수',
    norm: '정규화',
    cap: '소프트캡',
    heads: '헤드 공유',
    cache: '캐시',
  },
  text: '텍스트',
  layer: '층',
  rope: {
    explain:
      '쿼리나 키의 숫자 두 개는 원판 위의 점 하나입니다. 위치가 그 점을 돌립니다. 빠른 원판은 이웃을, 느린 원판은 먼 곳을 구별합니다. 쿼리와 키가 만나는 각도는 둘 사이의 거리에만 달려 있습니다.',
    query: '쿼리의 위치',
    key: '키의 위치',
    drag: '원판을 좌우로 끌거나, 화살표 키로 돌리거나, 슬라이더를 움직이세요.',
    turnable: '원판: 화살표 키로 쿼리를 움직입니다',
    disc: (pair) => `${pair}번 쌍`,
    turn: (tokens) => `${tokens}토큰마다 한 바퀴`,
    distance: (tokens) => `거리 ${tokens}`,
    curve: '서로 같은 쿼리와 키의 점수, 거리에 따라',
    axis: '거리 (토큰)',
    score: '점수 (거리 0에서 1)',
    none: '이 모델은 쿼리와 키를 돌리지 않습니다. RoPE를 쓰는 모델을 고르세요.',
  },
  activation: {
    explain:
      '막대는 이 텍스트에서 이 층의 활성화 함수가 실제로 받는 값입니다. ReLU는 0 아래를 모두 자르고, GELU와 SiLU는 굽힙니다. 게이트 MLP에서는 그 결과가 나머지 절반이 얼마나 통과할지 정합니다.',
    uses: (name) => `이 모델은 ${name}를 씁니다.`,
    below: (percent) => `값의 ${percent}가 0보다 작습니다. ReLU라면 값도 기울기도 통과하지 못합니다.`,
    x: '함수에 들어가는 값',
    y: '나오는 값',
    values: '실제로 나타나는 값',
  },
  norm: {
    explain:
      '마지막 토큰에서 층으로 들어가는 잔차 스트림의 한 줄입니다. 더하고 곱해 보세요. LayerNorm은 둘 다 되돌리고, RMSNorm은 배율만 되돌립니다. 기울기를 범위 안에 두는 것은 그 배율입니다.',
    shift: '모든 수에 더하기',
    scale: '모든 수에 곱하기',
    raw: '벡터',
    statistics: (mean, length) => `평균 ${mean}, 제곱평균제곱근 ${length}`,
  },
  cap: {
    explain:
      '마지막 토큰 다음의 로짓입니다. 소프트캡은 로짓을 ±상한 안으로 굽힙니다. 작은 값은 거의 그대로이고 큰 값은 서로 가까워져, 어떤 예측도 극단으로 치닫지 못합니다.',
    cap: '상한',
    own: (cap) => `이 모델의 상한은 ${cap}입니다.`,
    ownNone: '이 모델에는 상한이 없습니다.',
    before: '적용 전',
    after: '적용 후',
    logit: '상한 적용 전 로짓',
    capped: '상한 적용 후 로짓',
    top: '가장 유력한 토큰 다섯 개',
    token: '토큰',
    without: '상한 없이',
    with: '상한 적용',
  },
  heads: {
    explain:
      '쿼리는 묻고 키와 값은 답합니다. 여러 쿼리 헤드가 키 헤드 하나를 나눠 쓰면 캐시도, 새 토큰마다 읽어야 할 양도 그만큼 줄어듭니다.',
    kv: '키·값 헤드 수',
    queries: '쿼리',
    keys: '키·값',
    picture: (heads, kv) => `쿼리 헤드 ${heads}개, 키·값 헤드 ${kv}개`,
    perToken: '토큰 하나의 캐시 (bfloat16)',
    at: (context) => `문맥 ${context}토큰에서 캐시`,
    own: (kv) => `이 모델은 ${kv}개입니다.`,
    saved: (factor) => `쿼리 헤드마다 키 헤드를 둘 때의 ${factor}분의 1입니다.`,
  },
  cache: {
    explain:
      '문맥이 길어지면서 캐시가 담는 것입니다. 글로벌 층은 모든 토큰을, 로컬 층은 윈도우까지만 보관합니다.',
    context: '문맥 길이',
    layers: '층마다 보관하는 토큰',
    total: '모든 층 합계',
    local: (count, window) => `로컬 층 ${count}개, 윈도우 ${window}`,
    global: (count) => `글로벌 층 ${count}개`,
    allGlobal: '모든 층이 글로벌이라면',
    axis: '문맥 (토큰)',
    bytes: '바이트 (bfloat16)',
  },
};
