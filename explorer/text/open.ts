/** The Open view. */
export const en = {
  lead: 'A model of your own, as large as the browser can hold: everything else in this page then works on it. The files stay on your machine.',
  folder: 'Choose a folder',
  file: 'Choose files (.gguf, or all files of a model)',
  drop: 'Or drop a folder or files here.',
  what: 'A Hugging Face directory (config.json, safetensors, tokenizer.json) of one of the families, or a GGUF file.',
  opened: 'Opened here',
  nothing: 'Nothing yet.',
  parameters: (count: string) => `${count} parameters`,
  noTokenizer: 'It has no tokenizer, so it can be compared, but not run on text.',
  run: 'Run it',
  compare: 'Compare it',
  empty: 'There are no files in what was given.',
};

export const ko: typeof en = {
  lead: '가진 모델을 브라우저가 담을 수 있는 만큼 열 수 있습니다. 이 페이지의 모든 화면이 그 모델로 움직입니다. 파일은 이 컴퓨터를 떠나지 않습니다.',
  folder: '폴더 고르기',
  file: '파일 고르기 (.gguf 또는 모델의 모든 파일)',
  drop: '폴더나 파일을 여기에 놓아도 됩니다.',
  what: '지원하는 계열의 Hugging Face 폴더(config.json, safetensors, tokenizer.json)나 GGUF 파일.',
  opened: '여기서 연 모델',
  nothing: '아직 없습니다.',
  parameters: (count) => `파라미터 ${count}개`,
  noTokenizer: '토크나이저가 없어 비교는 할 수 있지만 텍스트를 실행할 수는 없습니다.',
  run: '실행하기',
  compare: '비교하기',
  empty: '주어진 것 안에 파일이 없습니다.',
};
