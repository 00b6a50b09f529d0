/**
 * Items per second of multiple choice with four choices behind a context of 200 tokens: `ropewalk evaluate` and
 * lm-evaluation-harness 0.4.13 with its `hf` model, both in float32 on two threads, interleaved. Loading is not counted.
 *
 *     npm run bench:evaluate -- MODEL_DIRECTORY PYTHON [--items 20] [--rounds 3]
 *
 * PYTHON has lm_eval[hf]==0.4.13; without it only Ropewalk is measured.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { ModelRequest } from '../src/evaluate/model/requests.ts';
import { openAnsweringModel } from '../src/evaluate/open-model.node.ts';
import { Random } from '../src/random.ts';

const THREADS = 2;
const CONTEXT = 200;
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { items: { type: 'string', default: '20' }, rounds: { type: 'string', default: '3' } },
});
const [path, python] = positionals;
if (!path) throw new Error('usage: bench/evaluate.ts MODEL_DIRECTORY [PYTHON]');
const items = Number(values.items);

const WORDS =
  'the a little river old house bird sang under green tree when morning came and we went home with our bread'.split(
    ' ',
  );

/** Requests of one round: no round asks what another has asked. */
function round(seed: number, tokens: (text: string) => number): { context: string; choices: string[] }[] {
  const random = new Random(seed);
  const words = (count: number) =>
    Array.from({ length: count }, () => WORDS[random.nextInt(WORDS.length)]).join(' ');
  return Array.from({ length: items }, () => {
    let context = `Story ${random.nextInt(1e6)}:`;
    while (tokens(context) < CONTEXT) context += ` ${words(1)}`;
    return { context, choices: Array.from({ length: 4 }, () => ` ${words(6)}.`) };
  });
}

/** The same requests by lm_eval, one line of JSON in and one out. */
const PROGRAM = `
import json, sys, time, torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
torch.set_num_threads(${THREADS})
lm = HFLM(pretrained=sys.argv[1], dtype="float32", device="cpu", batch_size=int(sys.argv[2]))
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    pairs = [(i["context"], c) for i in json.loads(line) for c in i["choices"]]
    began = time.perf_counter()
    answers = lm.loglikelihood([Instance("loglikelihood", {}, p, k) for k, p in enumerate(pairs)], disable_tqdm=True)
    print(json.dumps({"seconds": time.perf_counter() - began, "answers": [a[0] for a in answers]}), flush=True)
`;

async function* linesOf(
  child: ReturnType<typeof spawn>,
): AsyncGenerator<{ seconds: number; answers: number[] }> {
  for await (const line of createInterface({ input: child.stdout! })) {
    if (line.startsWith('{')) yield JSON.parse(line) as { seconds: number; answers: number[] };
  }
}

const { model, close } = await openAnsweringModel(path, { name: path, threads: THREADS });
const tokens = (text: string) => model.parts.tokenizer.encode(text).length;
const others = python
  ? ['1', '4'].map((batch) => {
      const child = spawn(python, ['-c', PROGRAM, path, batch], {
        stdio: ['pipe', 'pipe', 'ignore'],
        env: { ...process.env, OMP_NUM_THREADS: String(THREADS), HF_HUB_OFFLINE: '1' },
      });
      return { batch, child, lines: linesOf(child) };
    })
  : [];
for (const { lines } of others) await lines.next();

const speeds = new Map<string, number[]>();
const note = (name: string, seconds: number) => {
  speeds.set(name, [...(speeds.get(name) ?? []), items / seconds]);
  console.log(`${name}: ${(items / seconds).toFixed(2)} items/s`);
};
for (let i = 0; i < Number(values.rounds); i++) {
  const asked = round(i, tokens);
  const requests = asked.flatMap(({ context, choices }): ModelRequest[] =>
    choices.map((continuation) => ({ kind: 'loglikelihood', context, continuation })),
  );
  const ours: number[] = [];
  const began = performance.now();
  for await (const { request, answer } of model.answer(requests, { batch: 16 }, String)) {
    if (typeof answer !== 'string') ours[request] = answer.loglikelihood;
  }
  note('ropewalk', (performance.now() - began) / 1000);
  for (const { batch, child, lines } of others) {
    child.stdin!.write(`${JSON.stringify(asked)}\n`);
    const { seconds, answers } = (await lines.next()).value as { seconds: number; answers: number[] };
    const worst = Math.max(...answers.map((answer, k) => Math.abs(answer - ours[k]!)));
    if (worst > 1e-3) throw new Error(`log-likelihoods differ by ${worst}`);
    note(`lm_eval hf, batch ${batch}`, seconds);
  }
}
const median = (list: readonly number[]) => [...list].sort((a, b) => a - b)[list.length >> 1]!;
const own = median(speeds.get('ropewalk')!);
for (const [name, list] of speeds) {
  console.log(
    `${name}: median ${median(list).toFixed(2)} items/s, ropewalk is ${(own / median(list)).toFixed(2)} times as fast`,
  );
}
for (const { child } of others) child.stdin!.end();
await close();
