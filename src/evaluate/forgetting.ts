import type { Doc } from './python/values.ts';

/** The name of the built-in check. */
export const FORGETTING = 'forgetting';

/** What its tasks have for a data set: nothing is read from files. */
export const BUILT_IN = 'ropewalk/forgetting';

/*
 * General texts, written for this project and under its license (MIT). They are about everyday things, so that a model that
 * has learned a language predicts them well, and one that has forgotten it does not.
 */
const ENGLISH = [
  'The library opens at nine on weekdays and at ten on Saturdays. Visitors may borrow up to six books for three weeks, and they can renew them once, either at the desk or by phone. Newspapers and reference works stay in the reading room, where there is a copy machine next to the stairs.',
  'Water boils at a lower temperature in the mountains because the air pressure is lower there. That is why rice and potatoes take longer to cook at high altitudes. A pressure cooker helps: it keeps the steam inside, so that the water becomes hotter than it would in an open pot.',
  'My grandmother kept bees behind the house for almost forty years. In early spring she would put her ear to each hive and listen. If the bees hummed softly, she said, they had come through the winter well; if they were loud and uneven, she gave them sugar water before the first flowers opened.',
  'A computer program is a list of instructions that a machine can follow. Most programs are written in languages that people can read, and another program translates them into the numbers that the processor understands. A single wrong sign may change what a program does, which is why programmers test their work.',
  'After the storm the river had risen above the lower road, and the bus could not reach the village. The driver stopped at the old mill, turned off the engine and told everyone that they would have to walk the last two miles. Nobody complained. The rain had stopped, and the sun came out between the clouds.',
  'To plant a tree, dig a hole that is twice as wide as its roots but no deeper. Loosen the soil at the sides, set the tree upright, fill the hole halfway and water it. Then add the rest of the soil, press it down with your foot, and cover the ground with leaves or bark to keep it moist.',
] as const;

const KOREAN = [
  '도서관은 평일에는 아침 아홉 시에, 토요일에는 열 시에 문을 연다. 책은 한 번에 여섯 권까지 삼 주 동안 빌릴 수 있고, 한 번 더 연장할 수 있다. 신문과 사전은 열람실에서만 볼 수 있으며, 복사기는 계단 옆에 있다.',
  '높은 산에서는 기압이 낮아서 물이 더 낮은 온도에서 끓는다. 그래서 산 위에서 밥을 지으면 쌀이 잘 익지 않는다. 압력솥은 김이 빠져나가지 못하게 막아 물의 온도를 더 높이 올려 주므로 이런 곳에서 쓸모가 있다.',
  '할머니는 마흔 해 가까이 집 뒤에서 벌을 치셨다. 이른 봄이면 벌통마다 귀를 대고 가만히 소리를 들으셨다. 벌들이 낮고 고른 소리를 내면 겨울을 잘 난 것이고, 시끄럽고 어수선하면 꽃이 피기 전에 설탕물을 주어야 한다고 하셨다.',
  '컴퓨터 프로그램은 기계가 따라 할 수 있는 명령을 차례대로 적은 것이다. 대부분의 프로그램은 사람이 읽을 수 있는 언어로 쓰고, 다른 프로그램이 그것을 처리 장치가 이해하는 숫자로 바꾸어 준다. 기호 하나만 틀려도 결과가 달라지기 때문에 만든 사람은 여러 번 시험해 본다.',
  '비바람이 지나간 뒤 강물이 아랫길까지 차올라 버스가 마을에 들어갈 수 없었다. 기사는 오래된 방앗간 앞에 차를 세우고 시동을 끈 다음, 남은 길은 걸어가야 한다고 말했다. 아무도 불평하지 않았다. 비는 그쳤고 구름 사이로 해가 나왔다.',
  '나무를 심을 때는 뿌리보다 두 배 넓게, 그러나 더 깊지는 않게 구덩이를 판다. 옆의 흙을 부드럽게 풀고 나무를 똑바로 세운 뒤 흙을 반쯤 채우고 물을 준다. 나머지 흙을 덮고 발로 눌러 다진 다음, 마르지 않도록 낙엽이나 나무껍질로 땅을 덮어 준다.',
] as const;

const TEXTS: Readonly<Record<string, readonly string[]>> = { english: ENGLISH, korean: KOREAN };

/** The tasks of the check: how well a model predicts general English and Korean, in bits per byte and perplexity per byte. */
export function forgettingFiles(): Record<string, unknown>[] {
  return Object.keys(TEXTS).map((language) => ({
    task: `${FORGETTING}_${language}`,
    ...{ dataset_path: BUILT_IN, output_type: 'loglikelihood_rolling', test_split: language },
    ...{ doc_to_text: '', doc_to_target: 'text', num_fewshot: 0 },
    metric_list: [{ metric: 'bits_per_byte' }, { metric: 'byte_perplexity' }],
    metadata: { version: 1 },
  }));
}

/** The rows of a language. */
export function forgettingRows(language: string): Doc[] {
  return (TEXTS[language] ?? []).map((text) => ({ text }));
}
