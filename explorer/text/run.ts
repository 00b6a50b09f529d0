/** The Run view. */
export const en = {
  lead: 'Type, and see what each model makes of it: which token it expects next, where each head looks, and how the answer forms from layer to layer.',
  text: 'Text',
  beside: 'Beside it',
  temperature: 'Temperature',
  tokens: 'Tokens',
  tokensHint: 'Choose a token to see what is predicted after it.',
  previous: 'Previous token',
  following: 'Next token',
  append: (token: string) => `Add “${token}”`,
  omitted: (count: number) => `Only the first tokens are run; ${count} more are left out.`,
  cut: 'The text is longer than the page shows: only its beginning is read.',
  next: (token: string) => `What comes after “${token}”`,
  candidates: {
    caption: 'The likeliest next tokens',
    token: 'Token',
    raw: 'Logit before the cap',
    logit: 'Logit',
    uncapped: 'Probability without the cap',
    probability: 'Probability',
    tempered: (temperature: string) => `At temperature ${temperature}`,
  },
  capped: (cap: string) => `This model keeps its logits within ±${cap} by a soft-cap.`,
  uncapped: 'This model has no soft-cap on its logits.',
  attention: 'Attention',
  layer: 'Layer',
  layerName: (layer: number, window: number | null) => (window === null ? `${layer}` : `${layer} · local`),
  layerLabel: (layer: number, window: number | null) =>
    window === null ? `Layer ${layer}, sees all tokens before` : `Layer ${layer}, sees ${window} tokens`,
  sees: (window: number | null) =>
    window === null
      ? 'A global layer: every token sees all tokens before it.'
      : `A local layer: every token sees itself and the ${window - 1} tokens before it.`,
  sharing: (heads: number, kvHeads: number) =>
    heads === kvHeads
      ? `Each of the ${heads} heads has keys and values of its own.`
      : `${heads} query heads share ${kvHeads} key and value ${kvHeads === 1 ? 'head' : 'heads'}.`,
  keyHead: (head: number) => `Key head ${head}`,
  head: (head: number) => `Head ${head}`,
  heatmap: (layer: number, head: number) =>
    `Attention of layer ${layer}, head ${head}: rows are the tokens that look, columns the tokens that are looked at.`,
  outside: 'outside the window',
  future: 'future',
  looksAt: (token: string) => `“${token}” looks at`,
  share: 'Share',
  residual: 'Residual stream',
  residualLead: 'Its length at the chosen token, as it enters and after each layer.',
  entering: 'in',
  after: (layer: number) => `after layer ${layer}`,
  lens: 'Logit lens',
  lensLead:
    'The final norm and the head, applied after every layer: what the model would say if it ended there. The darker, the surer.',
  lensLayer: 'After layer',
  took: (milliseconds: number) => `computed in ${milliseconds} ms`,
  needsText: 'Type some text first.',
};

export const ko: typeof en = {
  lead: '글을 입력하면 모델마다 다음에 어떤 토큰을 예상하는지, 각 헤드가 어디를 보는지, 층을 지나며 답이 어떻게 만들어지는지 볼 수 있습니다.',
  text: '텍스트',
  beside: '나란히 볼 모델',
  temperature: '온도',
  tokens: '토큰',
  tokensHint: '토큰을 고르면 그다음에 예측되는 토큰이 나옵니다.',
  previous: '이전 토큰',
  following: '다음 토큰',
  append: (token) => `“${token}” 덧붙이기`,
  omitted: (count) => `앞부분의 토큰만 실행합니다. ${count}개는 빠졌습니다.`,
  cut: '화면에 보일 수 있는 것보다 긴 텍스트라서 앞부분만 읽습니다.',
  next: (token) => `“${token}” 다음에 올 토큰`,
  candidates: {
    caption: '가장 유력한 다음 토큰',
    token: '토큰',
    raw: '상한 적용 전 로짓',
    logit: '로짓',
    uncapped: '상한이 없을 때의 확률',
    probability: '확률',
    tempered: (temperature) => `온도 ${temperature}에서`,
  },
  capped: (cap) => `이 모델은 소프트캡으로 로짓을 ±${cap} 안에 둡니다.`,
  uncapped: '이 모델은 로짓에 소프트캡이 없습니다.',
  attention: '어텐션',
  layer: '층',
  layerName: (layer, window) => (window === null ? `${layer}` : `${layer} · 로컬`),
  layerLabel: (layer, window) =>
    window === null ? `${layer}번 층, 앞의 모든 토큰을 봄` : `${layer}번 층, 토큰 ${window}개를 봄`,
  sees: (window) =>
    window === null
      ? '글로벌 층: 모든 토큰이 앞의 토큰을 전부 봅니다.'
      : `로컬 층: 모든 토큰이 자신과 바로 앞의 ${window - 1}개 토큰만 봅니다.`,
  sharing: (heads, kvHeads) =>
    heads === kvHeads
      ? `헤드 ${heads}개가 저마다 키와 값을 갖습니다.`
      : `쿼리 헤드 ${heads}개가 키·값 헤드 ${kvHeads}개를 나눠 씁니다.`,
  keyHead: (head) => `키 헤드 ${head}`,
  head: (head) => `헤드 ${head}`,
  heatmap: (layer, head) => `${layer}번 층 ${head}번 헤드의 어텐션: 행은 보는 토큰, 열은 보이는 토큰입니다.`,
  outside: '윈도우 밖',
  future: '뒤의 토큰',
  looksAt: (token) => `“${token}”이(가) 보는 토큰`,
  share: '비율',
  residual: '잔차 스트림',
  residualLead: '고른 토큰에서 잔차 스트림의 길이: 들어올 때와 각 층을 지난 뒤.',
  entering: '입력',
  after: (layer) => `${layer}번 층 뒤`,
  lens: '로짓 렌즈',
  lensLead:
    '층마다 그 뒤에 마지막 정규화와 출력 헤드를 적용했습니다. 모델이 거기서 끝난다면 내놓을 답입니다. 진할수록 확신이 큽니다.',
  lensLayer: '층',
  took: (milliseconds) => `${milliseconds} ms 걸림`,
  needsText: '먼저 텍스트를 입력하세요.',
};
