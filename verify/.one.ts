import { randomTokenizer } from '../test/helpers/random-tokenizers/tokenizers.ts';
const m = randomTokenizer(Number(process.argv[2]), 5);
console.log(JSON.stringify({ ...m.json, model: { ...(m.json.model as any), vocab: (JSON.stringify((m.json.model as any).vocab)).slice(0, 2000), merges: undefined } }));
