/**
 * The effect of 4,096 Korean tokens on SmolLM2-135M: tokens per syllable, English before and after, and the loss per
 * byte on held-out Korean after the same number of training steps with and without them.
 *
 *     node scripts/run-ts.js verify/extend.ts MODEL TEXTS OUT [--steps 200] [--first 0] [--batch 1] [--seq 256]
 *         [--lr 3e-4] [--new-lr 3e-4] [--only with|without] [--threads n] [--device cpu|webgpu]
 *     python verify/extend.py MODEL OUT/extended OUT/ids.json     # transformers: the same ids, logits and generation
 *
 * MODEL is a Hugging Face directory, TEXTS a folder with the texts of the project's shared data. OUT gets the extended
 * model, both runs, and the ids for the reference.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type OpenedModel, openModel, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { dataFiles } from '../src/finetune/data-files.node.ts';
import { openFinetuning, settingsOf } from '../src/finetune/job.node.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import { cachedLogits } from '../src/generation/score.ts';
import { SCORING_WINDOW, scoreModel } from '../src/generation/score-model.node.ts';
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { runJob } from '../src/training/runs/run-job.node.ts';
import { extendModel } from '../src/vocabulary/extend.node.ts';
import { holdOut } from '../src/vocabulary/hold-out.ts';

const ADD = 4096;
/** English tokens whose logits are compared. */
const ENGLISH_TOKENS = 512;
/** Bytes of held-out Korean that are scored. */
const SCORED_BYTES = 8192;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '200' },
    first: { type: 'string', default: '0' },
    batch: { type: 'string', default: '1' },
    seq: { type: 'string', default: '256' },
    lr: { type: 'string', default: '3e-4' },
    'new-lr': { type: 'string', default: '3e-4' },
    only: { type: 'string' },
    threads: { type: 'string' },
    device: { type: 'string', default: 'cpu' },
  },
});
const [model, texts, out] = positionals as [string, string, string];
if (positionals.length !== 3) throw new Error('usage: verify/extend.ts MODEL TEXTS OUT');
mkdirSync(out, { recursive: true });

const say = (line: string) => process.stdout.write(`${line}\n`);
const korean = readFileSync(join(texts, 'korean-fairy-tales.txt'), 'utf8');
const {
  texts: [learned],
  heldOut,
} = holdOut([korean], 0.05);
const scored = heldOut!.slice(0, new TextEncoder().encodeInto(heldOut!, new Uint8Array(SCORED_BYTES)).read);
const scoredBytes = new TextEncoder().encode(scored).length;

async function opened<T>(
  path: string,
  use: (model: OpenedModel, tokenizer: Tokenizer) => Promise<T>,
): Promise<T> {
  const one = await openModel(path);
  try {
    return await use(one, (await tokenizerOf(one.checkpoint))!);
  } finally {
    await one.checkpoint.tensors.close();
  }
}

/** Nats per byte of the held-out text. */
function lossPerByte(path: string): Promise<number> {
  return opened(path, async (one, tokenizer) => {
    const ids = [tokenizer.bosId!, ...tokenizer.encode(scored, { addSpecialTokens: false })];
    const { tokens, meanNegativeLogLikelihood } = await scoreModel(one, ids, { window: SCORING_WINDOW });
    return (tokens * meanNegativeLogLikelihood) / scoredBytes;
  });
}

const extended = join(out, 'extended');
if (!existsSync(extended)) {
  await opened(model, async (one) => {
    const { costs, loss, first, count } = await extendModel(one, extended, [learned!], { add: ADD, heldOut });
    say(`${count} tokens with the ids from ${first}, learned on ${learned!.length} characters of Korean`);
    say(
      `tokens per Hangul syllable, held-out text: ${costs.before.tokensPerSyllable!.toFixed(3)} before, ${costs.after.tokensPerSyllable!.toFixed(3)} after`,
    );
    say(`tokens, held-out text: ${costs.before.tokens} before, ${costs.after.tokens} after`);
    say(
      `loss per byte, held-out text, untrained: ${loss!.before.toFixed(4)} before, ${loss!.after.toFixed(4)} after (${loss!.bytes} bytes)`,
    );
  });
}

async function englishLogits(
  path: string,
  ids: readonly number[],
): Promise<{ logits: Float32Array; vocabSize: number }> {
  return opened(path, async (one) => {
    const decoder = await createDecoder(one, {});
    const vocabSize = one.config.vocab_size;
    const logits = new Float32Array(ids.length * vocabSize);
    for await (const block of cachedLogits(decoder, ids, 128))
      logits.set(block.logits, block.start * vocabSize);
    await decoder.release();
    return { logits, vocabSize };
  });
}
/** Loss in nats per token, as float64 of float32 logits, over the first `entries` of the vocabulary. */
function meanLoss(
  { logits, vocabSize }: { logits: Float32Array; vocabSize: number },
  ids: readonly number[],
  entries: number,
): number {
  let total = 0;
  for (let row = 0; row + 1 < ids.length; row++) {
    const scores = logits.subarray(row * vocabSize, row * vocabSize + entries);
    const max = scores.reduce((most, each) => Math.max(most, each), Number.NEGATIVE_INFINITY);
    const sum = scores.reduce((all, each) => all + Math.exp(each - max), 0);
    total += max + Math.log(sum) - scores[ids[row + 1]!]!;
  }
  return total / (ids.length - 1);
}

/** English before and after: ids, logits and loss. */
async function compareEnglish(): Promise<void> {
  const stories = JSON.parse(readFileSync(join(texts, 'tinystories-1000.json'), 'utf8')) as unknown[];
  const english = {
    tinyshakespeare: readFileSync(join(texts, 'tinyshakespeare.txt'), 'utf8'),
    tinystories: stories.map((each) => (typeof each === 'string' ? each : JSON.stringify(each))).join('\n'),
    lambada: readFileSync(join(texts, 'lambada-test.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { text: string }).text)
      .join('\n'),
  };
  const [before, after] = [
    await opened(model, async (_, tokenizer) => tokenizer),
    await opened(extended, async (_, tokenizer) => tokenizer),
  ];
  for (const [name, text] of Object.entries(english)) {
    const [a, b] = [before.encode(text), after.encode(text)];
    const same = a.length === b.length && a.every((id, i) => id === b[i]);
    say(`English, ${name}: ${a.length} tokens, ${same ? 'the same ids' : 'OTHER IDS'}`);
  }
  const ids = before.encode(english.tinyshakespeare.slice(0, 4000)).slice(0, ENGLISH_TOKENS);

  const [original, larger] = [await englishLogits(model, ids), await englishLogits(extended, ids)];
  let differing = 0;
  for (let row = 0; row < ids.length; row++) {
    for (let id = 0; id < original.vocabSize; id++) {
      const [a, b] = [
        original.logits[row * original.vocabSize + id],
        larger.logits[row * larger.vocabSize + id],
      ];
      if (!Object.is(a, b)) differing++;
    }
  }
  say(
    `English, ${ids.length} tokens: ${differing} of ${ids.length * original.vocabSize} logits of old tokens differ`,
  );
  const losses = [
    meanLoss(original, ids, original.vocabSize),
    meanLoss(larger, ids, original.vocabSize),
    meanLoss(larger, ids, larger.vocabSize),
  ] as const;
  say(
    `English, loss per token: ${losses[0]} before; ${losses[1]} after over the old tokens (${losses[0] === losses[1] ? 'the same bits' : 'DIFFERENT'}); ${losses[2]} over all tokens`,
  );

  writeFileSync(
    join(out, 'ids.json'),
    JSON.stringify({
      texts: [scored, english.tinyshakespeare.slice(0, 4000)].map((text) => ({
        text,
        ids: after.encode(text),
      })),
    }),
  );
}
if (!values.only) await compareEnglish();

// Training.
const steps = Number(values.steps);
if (steps > 0) {
  const data = join(out, 'korean.txt');
  writeFileSync(data, learned!);
  for (const [name, path, first, lr] of [
    ['without new tokens', model, 0, values.lr],
    ['with new tokens', extended, Number(values.first), values['new-lr']],
  ] as const) {
    if (values.only && !name.startsWith(`${values.only} `)) continue;
    const run = join(out, `run-${name.split(' ')[0]}-${steps}-${first}-${values.batch}x${values.seq}-${lr}`);
    const options = {
      ...{ steps, batch: Number(values.batch), seq: Number(values.seq), lr: Number(lr), seed: 0 },
      ...{ warmup: Math.min(20, steps), validation: 0, evalEvery: 0, saveEvery: 0, keep: 1, guard: 0 },
      ...(first > 0 && { trainNewRowsFirst: first }),
    };
    const engine = {
      device: values.device,
      ...(values.threads !== undefined && { threads: Number(values.threads) }),
    };
    let seconds = 0;
    let trainedTokens = 0;
    if (!existsSync(join(run, 'config.json'))) {
      const files = dataFiles({ files: [data], folder: join(run, 'data') }, settingsOf(options));
      const { describe: _, ...job } = await openFinetuning(path, files, { ...options, ...engine });
      const started = performance.now();
      for await (const event of runJob(job, { out: run, resume: 'if there' })) {
        if (event.type !== 'step') continue;
        seconds = (performance.now() - started) / 1000;
        trainedTokens = event.tokens;
        if (event.step % 20 === 0)
          process.stderr.write(
            `${name}: step ${event.step}, loss ${event.loss.toFixed(3)}, ${seconds.toFixed(0)} s\n`,
          );
      }
      await job.close();
    }
    const loss = await lossPerByte(run);
    say(
      `${name}, ${steps} steps of ${values.batch} × ${values.seq} tokens, rate ${lr}, new rows first for ${first} (${trainedTokens} in all, ${seconds.toFixed(0)} s): loss per byte ${loss.toFixed(4)}`,
    );
  }
}
