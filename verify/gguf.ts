/**
 * llama.cpp runs the output of `exportGguf`: the same tokens, the same logits within its float16 arithmetic, the same
 * greedy text.
 *
 *     node scripts/run-ts.js verify/gguf.ts LLAMA MODEL...
 *
 * LLAMA is where `npm install node-llama-cpp@3.22.1` was run, MODEL any model directory of a family that llama.cpp
 * supports. Each is exported as F32, F16, Q8_0 and Q4_0 to a folder that is removed afterwards. verify/gguf.txt
 * records the output for stories260K and the models that verify/small-models.ts trains.
 *
 * By default llama.cpp keeps keys and values in float16, and it uses a float16 table for GELU, so it is not a float32
 * reference. Therefore each file is run twice, with the defaults and with float32 caches (and without flash attention,
 * which also rounds). The F32 file with float32 caches must agree within 2e-5 of the largest |logit|, or 2e-3 with
 * GELU. The greedy text uses the defaults; where its best token differs from ours, our two logits must be within twice
 * the largest difference.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { openModel, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { exportGguf, GGUF_TYPES, type GgufType } from '../src/export/gguf.node.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import { argmax } from '../src/generation/sampler.ts';

/** The part of node-llama-cpp that is used; it is not a dependency. */
interface Sequence {
  controlledEvaluate(
    input: [number, { generateNext: { logits: true } }][],
  ): Promise<({ next: { logits: Map<number, number> } } | undefined)[]>;
}
interface LlamaModel {
  tokenize(text: string, specialTokens: boolean): number[];
  detokenize(ids: readonly number[], specialTokens: boolean): string;
  createContext(options: object): Promise<{ getSequence(): Sequence; dispose(): Promise<void> }>;
  dispose(): Promise<void>;
}
interface NodeLlamaCpp {
  getLlama(options: object): Promise<{ loadModel(options: object): Promise<LlamaModel> }>;
  readonly LlamaLogLevel: { readonly error: string };
}

const [folder, ...models] = process.argv.slice(2);
if (!folder || models.length === 0) throw new Error('usage: verify/gguf.ts LLAMA MODEL...');
const entry = pathToFileURL(join(resolve(folder), 'node_modules/node-llama-cpp/dist/index.js')).href;
const { getLlama, LlamaLogLevel } = (await import(entry)) as NodeLlamaCpp;
const llama = await getLlama({ gpu: false, logLevel: LlamaLogLevel.error, build: 'never', maxThreads: 1 });

const PROMPT = 'Once upon a time, the king';
const NEW_TOKENS = 64;
const FLOAT32_CACHES = {
  experimentalKvCacheKeyType: 'F32',
  experimentalKvCacheValueType: 'F32',
  flashAttention: false,
};
const MIXED = [
  'Hello, world! It’s 3.14159 o’clock; we’ll see.',
  '옛날 옛적에 호랑이가 살았어요. "떡 하나 주면 안 잡아먹지!"',
  'naïve café — 東京 🤖👩‍👩‍👧‍👦 Ünïcödé\tтест',
  '  two   spaces\n\n\nand lines\r\n  def f(x):\n\treturn x ** 2  # …\n',
  '1234567 + 89 = ?; https://example.org/a_b?c=%20d',
];

const scratch = mkdtempSync(join(tmpdir(), 'ropewalk-gguf-'));
let failed = false;
try {
  console.log(
    'model, type            greedy tokens  worst |difference| / |logit|, by default and with float32 caches',
  );
  for (const path of models) await verify(path);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
console.log(failed ? 'FAILED' : 'all as they should be');
process.exit(failed ? 1 : 0);

async function verify(path: string): Promise<void> {
  const opened = await openModel(path);
  const tokenizer = (await tokenizerOf(opened.checkpoint))!;
  const name = basename(path);
  for (const type of GGUF_TYPES) {
    const file = join(scratch, `${name}-${type}.gguf`);
    const { notes } = await exportGguf(opened, file, { type });
    const theirs = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
    if (type === 'f32') {
      for (const note of notes) console.log(`  ${note.replaceAll(path, name)}`);
      checkTokens(name, (text) => tokenizer.encode(text, { addSpecialTokens: false }), theirs);
    }
    await compare(name, type, file, tokenizer.encode(PROMPT), theirs);
    await theirs.dispose();
  }
  await opened.checkpoint.tensors.close();
}

function checkTokens(name: string, ours: (text: string) => number[], theirs: LlamaModel): void {
  let tokens = 0;
  for (const text of [...MIXED, MIXED.join('\n')]) {
    const want = ours(text);
    const got = theirs.tokenize(text, false);
    tokens += want.length;
    if (want.join() === got.join()) continue;
    failed = true;
    console.log(`${name}: ${JSON.stringify(text)}\n  ours   ${want.join()}\n  theirs ${[...got].join()}`);
  }
  console.log(`${name.padEnd(22)} ${tokens} tokens of mixed texts compared`);
}

type Logits = ReadonlyMap<number, number>;

/** Greedy text from llama.cpp, with the logits of each token. */
async function greedy(theirs: LlamaModel, prompt: readonly number[], options: object) {
  const context = await theirs.createContext({ contextSize: 256, threads: 1, ...options });
  const sequence = context.getSequence();
  const ids: number[] = [];
  const rows: Logits[] = [];
  for (let next = prompt[0]!; ids.length < prompt.length + NEW_TOKENS; ) {
    ids.push(next);
    const [result] = await sequence.controlledEvaluate([[next, { generateNext: { logits: true } }]]);
    const { logits } = result!.next;
    rows.push(logits);
    next = prompt[ids.length] ?? best(logits);
  }
  await context.dispose();
  return { ids, rows };
}

/** Compares both of llama.cpp's runs with our logits for the same ids, in the file's own precision. */
async function compare(
  name: string,
  type: GgufType,
  file: string,
  prompt: readonly number[],
  theirs: LlamaModel,
): Promise<void> {
  const usual = await greedy(theirs, prompt, {});
  const float32 = await greedy(theirs, prompt, FLOAT32_CACHES);
  const opened = await openModel(file);
  const decoder = await createDecoder(opened, { threads: 1 });
  await opened.checkpoint.tensors.close();
  const { config, family } = opened;
  const vocab = config.vocab_size;
  const ours = (ids: readonly number[]) => decoder.forward(ids, decoder.newCache(), 'all');
  const own = await ours(usual.ids);
  const [far, near] = [
    difference(usual.rows, own, vocab),
    difference(float32.rows, await ours(float32.ids), vocab),
  ];
  await decoder.release();
  const hasGelu = family.parts(config).layers.some(({ mlp }) => mlp.activation === 'gelu');
  if (type === 'f32' && !(near.share < (hasGelu ? 2e-3 : 2e-5))) failed = true;
  let same = 0;
  const others: string[] = [];
  for (let row = prompt.length - 1; row < usual.rows.length - 1; row++) {
    const logits = own.subarray(row * vocab, (row + 1) * vocab);
    const [mine, other] = [argmax(logits), usual.ids[row + 1]!];
    if (mine === other) {
      same++;
      continue;
    }
    const gap = logits[mine]! - logits[other]!;
    others.push(`token ${row + 1 - prompt.length}: our two best are ${gap.toExponential(1)} apart`);
    if (gap > 2 * far.worst) failed = true;
  }
  const share = (value: number) => value.toExponential(1).padEnd(10);
  console.log(
    `${name.padEnd(16)} ${type.padEnd(5)}  ${same} of ${NEW_TOKENS}       ${share(far.share)} ${share(near.share)} ${others.join('; ')}`,
  );
  if (type === 'f32')
    console.log(`  ${JSON.stringify(theirs.detokenize(usual.ids.slice(prompt.length), false))}`);
}

/** The largest |difference| of logits, absolute and relative to the largest |logit|. */
function difference(rows: readonly Logits[], ours: Float32Array, vocab: number) {
  let [worst, largest] = [0, 0];
  rows.forEach((logits, row) => {
    for (const [id, value] of logits) {
      worst = Math.max(worst, Math.abs(value - ours[row * vocab + id]!));
      largest = Math.max(largest, Math.abs(value));
    }
  });
  return { worst, share: worst / largest };
}

function best(logits: ReadonlyMap<number, number>): number {
  let [id, most] = [0, Number.NEGATIVE_INFINITY];
  for (const [each, value] of logits) if (value > most) [id, most] = [each, value];
  return id;
}
