import { createHash } from 'node:crypto';
import { type Command, Option } from 'commander';
import type { ChatTemplate } from '../../chat/template.ts';
import { openTokenizer } from '../../checkpoint/tokenizer.node.ts';
import { RopewalkError } from '../../errors.ts';
import { familyByName, familyNames } from '../../families/registry.ts';
import { nodeEngine } from '../../runtime/engine.node.ts';
import { splitCorpus } from '../../text/corpus.ts';
import { readTextFiles } from '../../text/files.node.ts';
import { bpeTokenizerConfig, trainBpeAsync } from '../../tokenizer/bpe-trainer.ts';
import { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { type PretrainEvent, pretrain } from '../../training/runs/pretrain.node.ts';
import { RunDirectory } from '../../training/runs/run.node.ts';
import { checkUnlocked } from '../../training/runs/run-lock.node.ts';
import { specialTokensOption } from '../options/data-options.ts';
import { collect, count, fraction, integer, notNegative, positive, wholeNumber } from '../options/options.ts';
import { encodeTexts, TEXT_HELP } from '../options/text-corpus.ts';
import { INTERRUPTED, interruptible, interruptSignal } from '../terminal/interrupt.ts';
import { duration, Progress } from '../terminal/progress.ts';

interface TrainFlags {
  family: string;
  preset: string;
  text: string[];
  specialTokens: 'special' | 'text';
  out: string;
  steps: number;
  batch: number;
  seq: number;
  lr: number;
  schedule: 'cosine' | 'linear' | 'constant';
  warmup: number;
  minLrRatio: number;
  weightDecay: number;
  clip: number;
  accumulate: number;
  evalEvery: number;
  saveEvery: number;
  keep: number;
  validation: number;
  seed: number;
  tokenizer?: string;
  vocabSize?: number;
  threads?: number;
  resume?: boolean;
  json?: boolean;
}

export function register(program: Command): void {
  program
    .command('train')
    .description('Train a model from scratch on text files, by next-token prediction.')
    .requiredOption('--family <name>', `one of ${familyNames()}`)
    .option('--preset <name>', 'size of the model', 'tiny')
    .requiredOption('--text <file>', TEXT_HELP, collect)
    .addOption(specialTokensOption().default('special'))
    .requiredOption('--out <dir>', 'folder of the run: checkpoints, metrics.jsonl, and the finished model')
    .option('--steps <n>', 'optimiser steps', count, 500)
    .option('--batch <n>', 'sequences in a micro-batch', count, 8)
    .option('--seq <n>', 'tokens in a sequence', count, 128)
    .option('--lr <rate>', 'peak learning rate', positive, 3e-3)
    .addOption(
      new Option('--schedule <kind>', 'how the learning rate falls')
        .choices(['cosine', 'linear', 'constant'])
        .default('cosine'),
    )
    .option('--warmup <n>', 'steps in which the learning rate climbs', wholeNumber, 20)
    .option('--min-lr-ratio <r>', 'where the rate ends, as a share of the peak', notNegative, 0.1)
    .option('--weight-decay <w>', 'decoupled decay; none on norms and biases', notNegative, 0.1)
    .option('--clip <norm>', 'largest global gradient norm; 0 for no clipping', notNegative, 1)
    .option('--accumulate <n>', 'micro-batches for each step', count, 1)
    .option('--eval-every <n>', 'steps between evaluations; 0 for only at the end', wholeNumber, 100)
    .option('--save-every <n>', 'steps between checkpoints; 0 for only at the end', wholeNumber, 100)
    .option('--keep <n>', 'checkpoints kept', count, 2)
    .option('--validation <share>', 'share of the tokens held out', fraction, 0.1)
    .option('--seed <n>', 'of the weights and of the order of the data', integer, 0)
    .option('--tokenizer <path>', 'a tokenizer.json or a model directory; default: trained on the text')
    .option('--vocab-size <n>', "size of the trained tokenizer; default: the preset's", count)
    .option('--threads <n>', 'threads of the engine', count)
    .option('--resume', 'go on with the run in --out')
    .option('--json', 'print the result as JSON on stdout')
    .addHelpText(
      'after',
      `
Examples:
  ropewalk train --family llama --text book.txt --out runs/llama
  ropewalk train --family gemma2 --preset tiny --text a.txt --text b.txt --steps 1000 --out runs/gemma2
  ropewalk train --family llama --text book.txt --out runs/llama --resume`,
    )
    .action(train);
}

async function train(flags: TrainFlags): Promise<void> {
  const progress = new Progress();
  const family = familyByName(flags.family);
  const preset = Object.hasOwn(family.presets, flags.preset) ? family.presets[flags.preset] : undefined;
  if (!preset) {
    throw new RopewalkError(
      `${family.name} has no preset "${flags.preset}"; there are ${Object.keys(family.presets).join(', ')}.`,
    );
  }
  if (flags.tokenizer && flags.vocabSize !== undefined) {
    throw new RopewalkError(
      '--vocab-size is for a tokenizer that is trained; it cannot be combined with --tokenizer.',
    );
  }
  // Before the text is read and encoded, which can take minutes.
  if (flags.resume) await RunDirectory.open(flags.out);
  else await RunDirectory.checkFree(flags.out);
  await checkUnlocked(flags.out);
  const { tokenizer, tokens, files } = await interruptible(async (signal) => {
    const documents = await readTextFiles(flags.text, { signal, onWarning: (text) => progress.note(text) });
    const texts = documents.map(({ text }) => text);
    const tokenizer = flags.tokenizer
      ? await openTokenizer(flags.tokenizer)
      : await trainTokenizer(texts, flags.vocabSize ?? preset.config.vocab_size, progress, signal);
    const { specialTokens } = flags;
    const tokens = await encodeTexts(tokenizer, texts, { specialTokens, progress, signal });
    return { tokenizer, tokens, files: tokenizerFiles(tokenizer) };
  });
  const { bosId: begin, eosId: end } = tokenizer;
  const config = {
    ...preset.config,
    vocab_size: tokenizer.vocabSize,
    bos_token_id: begin ?? null,
    eos_token_id: end === undefined ? [] : [end],
    pad_token_id: null,
  };
  const { training, validation } = splitCorpus(tokens, flags.validation);
  progress.note(
    `${tokens.length.toLocaleString('en')} tokens, ${validation.length.toLocaleString('en')} of them held out`,
  );

  const { signal, dispose } = interruptSignal(() =>
    progress.note('stopping after this step; a checkpoint will be saved …'),
  );
  const started = performance.now();
  const engine = nodeEngine(flags.threads === undefined ? {} : { threads: flags.threads });
  const events = pretrain(
    engine,
    {
      family,
      config,
      files,
      training,
      validation,
      shape: { batch: flags.batch, seq: flags.seq },
      settings: {
        steps: flags.steps,
        accumulate: flags.accumulate,
        learningRate: flags.lr,
        schedule: flags.schedule,
        warmupSteps: Math.min(flags.warmup, flags.steps),
        minimumRatio: flags.minLrRatio,
        weightDecay: flags.weightDecay,
        betas: [0.9, 0.95],
        eps: 1e-8,
        clipNorm: flags.clip,
        evaluateEvery: flags.evalEvery,
        checkpointEvery: flags.saveEvery,
        seed: flags.seed,
      },
      out: flags.out,
      keep: flags.keep,
      resume: flags.resume ? 'must' : 'never',
      dataIdentity: createHash('sha256').update(new Uint8Array(tokens.buffer)).digest('hex'),
    },
    signal,
  );
  let result: Progressed;
  try {
    result = await follow(events, flags.steps, progress);
  } finally {
    progress.end();
    dispose();
  }
  const { finished, ...measured } = result;
  const seconds = (performance.now() - started) / 1000;
  if (flags.json) {
    process.stdout.write(
      `${JSON.stringify({ out: flags.out, seconds, interrupted: !finished, ...measured })}\n`,
    );
  }
  if (finished) {
    progress.note(
      `the model is in ${flags.out}; try: ropewalk generate ${flags.out} --prompt "…" --max-tokens 50`,
    );
  } else {
    progress.note('interrupted; go on with the same command and --resume');
    process.exitCode = INTERRUPTED;
  }
}

export interface Progressed {
  readonly finished: boolean;
  readonly step: number;
  readonly loss?: number;
  readonly tokensPerSecond?: number;
  readonly validationLoss?: number;
  readonly perplexity?: number;
  /** The held-out loss before the first step, where that was evaluated. */
  readonly baseLoss?: number;
}

/** Shows how training goes, until it is finished or interrupted. */
export async function follow(
  events: AsyncIterable<PretrainEvent>,
  steps: number,
  progress: Progress,
): Promise<Progressed> {
  let result: Progressed = { finished: false, step: 0 };
  for await (const event of events) {
    const { step } = event;
    switch (event.type) {
      case 'resumed':
        progress.note(`resumed at step ${step}`);
        result = { ...result, step };
        break;
      case 'step': {
        const { loss, tokensPerSecond, secondsLeft } = event;
        const speed = `${Math.round(tokensPerSecond).toLocaleString('en')} tokens/s`;
        const text = `step ${step}/${steps}  loss ${loss.toFixed(3)}  ${speed}  ${duration(secondsLeft)} left`;
        progress.update('training', step, steps, text);
        result = { ...result, step, loss, tokensPerSecond };
        break;
      }
      case 'evaluation': {
        const { loss, perplexity, base } = event;
        progress.note(`step ${step}: held-out loss ${loss.toFixed(4)}, perplexity ${perplexity.toFixed(2)}`);
        result = { ...result, validationLoss: loss, perplexity, ...(base !== null && { baseLoss: base }) };
        break;
      }
      case 'checkpoint':
        result = { ...result, finished: event.last };
    }
  }
  return result;
}

async function trainTokenizer(
  texts: readonly string[],
  vocabSize: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<Tokenizer> {
  const json = await trainBpeAsync(texts, {
    vocabSize,
    signal,
    onProgress: ({ size, target }) => progress.update('tokenizer', size, target, `${size} tokens`),
  });
  progress.end();
  return Tokenizer.fromJSON(json, bpeTokenizerConfig(json));
}

/**
 * A tokenizer's files as a model directory has them. One that came without a configuration gets one.
 *
 * @param template saved as its chat template, in place of its own.
 */
export function tokenizerFiles(
  tokenizer: Tokenizer,
  template?: ChatTemplate,
): { name: string; data: string }[] {
  const token = (id: number | undefined) => (id === undefined ? null : (tokenizer.idToToken(id) ?? null));
  const own =
    Object.keys(tokenizer.config).length > 0
      ? tokenizer.config
      : {
          tokenizer_class: 'PreTrainedTokenizerFast',
          bos_token: token(tokenizer.bosId),
          eos_token: token(tokenizer.eosId),
          clean_up_tokenization_spaces: false,
        };
  const config = template ? { ...own, chat_template: template.source } : own;
  return [
    { name: 'tokenizer.json', data: JSON.stringify(tokenizer.toJSON()) },
    { name: 'tokenizer_config.json', data: `${JSON.stringify(config, null, 2)}\n` },
  ];
}
