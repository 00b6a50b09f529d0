import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { type OpenedModel, openModel, tokenizerOf } from '../../checkpoint/load.node.ts';
import { modelIdentity } from '../../checkpoint/model-identity.node.ts';
import { type NewTokens, readNewTokens } from '../../checkpoint/new-tokens.node.ts';
import { RopewalkError } from '../../errors.ts';
import { writeNpyFile } from '../../files/npy.node.ts';
import { decodingEngine } from '../../generation/decoder.node.ts';
import { SCORING_WINDOW, scoreModel } from '../../generation/score-model.node.ts';
import { agree } from '../../ranks/agree.ts';
import type { Communicator } from '../../ranks/communicator.ts';
import { readTextFiles } from '../../text/files.node.ts';
import { withoutNewTokens } from '../../tokenizer/extend/without-new-tokens.ts';
import { writeGradients } from '../../training/gradients.node.ts';
import { addDecoderOptions, type DecoderFlags, decoderOptions, loadingProgress } from '../options/models.ts';
import { collect, count, idList } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import { together, withRanks } from '../runs/ranks.ts';
import { Progress } from '../terminal/progress.ts';
import { printResult } from '../terminal/silence.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface ScoreFlags extends DecoderFlags {
  text?: string[];
  ids?: number[];
  chunk?: number;
  window?: number;
  logits?: string;
  gradients?: string;
  newTokens: boolean;
  json?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('score')
    .description('Measure how well a model predicts a text: mean negative log-likelihood and perplexity.')
    .argument('<model>', 'a Hugging Face model directory, the --out of a training run, or an id on the hub')
    .option('--text <file>', 'UTF-8 text; may be given several times', collect)
    .option('--ids <list>', 'token ids such as 1,2,3', idList)
    .option('--chunk <n>', 'use the cache, n tokens at a time', count)
    .option(
      '--window <n>',
      `tokens scored at once (default: the model's positions; for --text without --chunk ${SCORING_WINDOW})`,
      count,
    )
    .option('--logits <file.npy>', 'write the logits, float32 [tokens, vocab]')
    .option(
      '--gradients <file.safetensors>',
      "write the gradients of the mean loss under the parameters' names",
    )
    .option(
      '--no-new-tokens',
      'score as before tokenizer extend: without the tokens that it added, in the text and in the softmax',
    )
    .option('--json', 'print {tokens, meanNegativeLogLikelihood, perplexity, warnings} on stdout')
    .addHelpText(
      'after',
      `
A text longer than a window is scored in windows, each beginning with the last token of the previous one, so that every
token but the first is predicted once. --logits and --gradients need a text that fits into one window.

Examples:
  ropewalk score runs/llama --text held-out.txt
  ropewalk score path/to/model --ids 1,403,407,261 --json --logits logits.npy --chunk 2`,
    )
    .action((model: string, flags: ScoreFlags) => withRanks((ranks) => score(model, flags, ranks)));
  addDecoderOptions(command);
}

async function score(model: string, flags: ScoreFlags, ranks: Communicator | undefined): Promise<void> {
  if ((flags.text === undefined) === (flags.ids === undefined)) {
    throw new RopewalkError('use either --text FILE or --ids 1,2,3.');
  }
  const opened = await together(ranks, async () => openModel(await modelPath(model), flags));
  showWarnings(opened.warnings);
  const { logits, gradients, chunk } = flags;
  const progress = new Progress();
  try {
    const { ids, omitted } = await together(ranks, async () => {
      const omitted = flags.newTokens ? undefined : await newTokensOf(opened);
      return { omitted, ids: Int32Array.from(flags.ids ?? (await readIds(opened, flags.text!, omitted))) };
    });
    if (ranks) await agree(ranks, await given(opened, ids, flags));
    const result = await scoreModel(opened, ids, {
      ...decoderOptions(flags),
      ...loadingProgress(opened),
      ...{ chunk, omitted, ranks },
      // Explicit ids and chunks are only split at the model's positions.
      window: flags.window ?? (chunk || flags.ids ? undefined : SCORING_WINDOW),
      whole: logits !== undefined || gradients !== undefined,
      ...(logits !== undefined && { onLogits: (blocks, shape) => writeNpyFile(logits, shape, blocks) }),
      onWindow(done, total) {
        if (total > 1) progress.update('scoring', done, total, `window ${done}/${total}`);
      },
    });
    progress.end();
    if (gradients) await writeGradients(decodingEngine(opened.model, flags), opened, ids, gradients);
    const { tokens, meanNegativeLogLikelihood, perplexity } = result;
    printResult(
      flags.json
        ? `${JSON.stringify({ ...result, warnings: opened.warnings })}\n`
        : `${tokens} tokens  mean negative log-likelihood ${meanNegativeLogLikelihood.toFixed(6)}  perplexity ${perplexity.toFixed(4)}\n`,
    );
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

/** What ranks must have in common. */
async function given(opened: OpenedModel, ids: Int32Array, flags: ScoreFlags) {
  const { threads, ...same } = flags;
  const text = createHash('sha256').update(new Uint8Array(ids.buffer)).digest('hex');
  return { model: await modelIdentity(opened), ...same, text };
}

async function newTokensOf({ checkpoint: { path }, config }: OpenedModel): Promise<NewTokens> {
  const tokens = (await stat(path)).isDirectory() ? await readNewTokens(path, config.vocab_size) : undefined;
  if (tokens) return tokens;
  throw new RopewalkError(
    `${path} has no record of new tokens, so --no-new-tokens has nothing to omit; leave it out.`,
  );
}

async function readIds(
  { checkpoint }: OpenedModel,
  files: string[],
  omitted: NewTokens | undefined,
): Promise<number[]> {
  const own = await tokenizerOf(checkpoint);
  const tokenizer = own && omitted ? withoutNewTokens(own, omitted) : own;
  if (!tokenizer) {
    throw new RopewalkError(
      `--text needs a tokenizer, but ${checkpoint.path} has no tokenizer.json; use --ids.`,
    );
  }
  const texts = await readTextFiles(files);
  return texts.flatMap(({ text }) => tokenizer.encode(text));
}
