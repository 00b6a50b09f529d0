import type { Command } from 'commander';
import { type OpenedModel, openModel, readWeights, tokenizerOf } from '../../checkpoint/load.node.ts';
import { writeSafetensors } from '../../checkpoint/safetensors/writer.ts';
import { weightSources } from '../../checkpoint/weight-sources.node.ts';
import { RopewalkError } from '../../errors.ts';
import { writeFileAtomic } from '../../files/atomic.node.ts';
import { writeNpyFile } from '../../files/npy.node.ts';
import { createDecoder, type DecoderOptions, decodingEngine } from '../../generation/decoder.node.ts';
import { cachedLogits, fullLogits, type LogitRows, Scorer, scoringWindows } from '../../generation/score.ts';
import type { Engine } from '../../runtime/engine.ts';
import { readTextFiles } from '../../text/files.node.ts';
import { WholeGraphLearner } from '../../training/whole-graph-learner.ts';
import { addDecoderOptions, type DecoderFlags, decoderOptions, loadingProgress } from '../options/models.ts';
import { collect, count, idList } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import { Progress } from '../terminal/progress.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface ScoreFlags extends DecoderFlags {
  text?: string[];
  ids?: number[];
  chunk?: number;
  window?: number;
  logits?: string;
  gradients?: string;
  json?: boolean;
}

/** Without a cache, scores of all pairs of tokens exist at once: longer texts are cut into windows of this many. */
const DEFAULT_WINDOW = 1024;

/** Weights that the engine cannot read in place are read once, for a decoder: it then takes texts in such pieces. */
const CHUNK = 256;

export function register(program: Command): void {
  const command = program
    .command('score')
    .description('Measure how well a model predicts a text: mean negative log-likelihood and perplexity.')
    .argument('<model>', 'a Hugging Face model directory, the --out of a training run, or an id on the hub')
    .option('--text <file>', 'UTF-8 text; may be given several times', collect)
    .option('--ids <list>', 'token ids such as 1,2,3', idList)
    .option('--chunk <n>', 'go through the cache, n tokens at a time', count)
    .option(
      '--window <n>',
      `longest piece that is scored at once; default the model's positions, for --text without --chunk ${DEFAULT_WINDOW}`,
      count,
    )
    .option('--logits <file.npy>', 'write the logits, float32 [tokens, vocab]')
    .option(
      '--gradients <file.safetensors>',
      "write the gradients of the mean loss under the parameters' names",
    )
    .option('--json', 'print {tokens, meanNegativeLogLikelihood, perplexity, warnings} on stdout')
    .addHelpText(
      'after',
      `
A text longer than a window is scored in windows, each beginning with the last token of the one before, so that every
token but the first is predicted once. --logits and --gradients want a text of one window.

Examples:
  ropewalk score runs/llama --text held-out.txt
  ropewalk score path/to/model --ids 1,403,407,261 --json --logits logits.npy --chunk 2`,
    )
    .action(score);
  addDecoderOptions(command);
}

async function score(model: string, flags: ScoreFlags): Promise<void> {
  if ((flags.text === undefined) === (flags.ids === undefined)) {
    throw new RopewalkError('give either --text FILE or --ids 1,2,3.');
  }
  const opened = await openModel(await modelPath(model));
  showWarnings(opened.warnings);
  try {
    const ids = Int32Array.from(flags.ids ?? (await readIds(opened, flags.text!)));
    if (ids.length < 2)
      throw new RopewalkError('scoring needs at least two tokens: the first predicts the second.');
    const engine = decodingEngine(opened.model, flags);
    // Ids that are given one by one, and chunks, are not cut unless the positions end.
    const usual = flags.chunk || flags.ids ? opened.model.maxPositions : DEFAULT_WINDOW;
    const size = Math.min(flags.window ?? usual, opened.model.maxPositions);
    const windows = [...scoringWindows(ids, size)];
    if (windows.length > 1 && (flags.logits || flags.gradients)) {
      throw new RopewalkError(
        `--logits and --gradients want a text of one window, but ${ids.length} tokens are ${windows.length}; shorten it or raise --window (the model has ${opened.model.maxPositions} positions).`,
      );
    }
    const scorer = new Scorer();
    const progress = new Progress();
    const options = decoderOptions(flags);
    const chunk = flags.chunk ?? (isReadInPlace(opened, options) ? undefined : CHUNK);
    const decoder = chunk
      ? await createDecoder(opened, { ...options, ...loadingProgress(opened) })
      : undefined;
    const { weights, folder, close } = await weightSources(opened, options);
    const settings = folder === undefined ? {} : { weightsFolder: folder };
    const vocab = opened.config.vocab_size;
    for (const [i, window] of windows.entries()) {
      const rows = decoder
        ? cachedLogits(decoder, window, chunk!)
        : fullLogits(engine, opened.model, weights, window, settings);
      const scored = scoring(rows, window, scorer, vocab);
      if (flags.logits) await writeNpyFile(flags.logits, [window.length, vocab], scored);
      else for await (const _ of scored);
      if (windows.length > 1)
        progress.update('scoring', i + 1, windows.length, `window ${i + 1}/${windows.length}`);
    }
    progress.end();
    await decoder?.release();
    close();
    if (flags.gradients) await writeGradients(engine, opened, ids, flags.gradients);
    const result = scorer.result();
    if (flags.json) process.stdout.write(`${JSON.stringify({ ...result, warnings: opened.warnings })}\n`);
    else {
      const { tokens, meanNegativeLogLikelihood, perplexity } = result;
      process.stdout.write(
        `${tokens} tokens  mean negative log-likelihood ${meanNegativeLogLikelihood.toFixed(6)}  perplexity ${perplexity.toFixed(4)}\n`,
      );
    }
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

function isReadInPlace({ checkpoint, names }: OpenedModel, { quantize }: DecoderOptions): boolean {
  const verbatim = (name: string) => checkpoint.tensors.info(name).verbatim;
  return (quantize === undefined || quantize === 'none') && [...names.values()].every(verbatim);
}

/** Passes blocks of logits on, and scores them on the way. */
async function* scoring(rows: AsyncIterable<LogitRows>, ids: Int32Array, scorer: Scorer, vocab: number) {
  for await (const block of rows) {
    scorer.add(block, ids, vocab);
    yield block.logits;
  }
}

async function readIds({ checkpoint }: OpenedModel, files: string[]): Promise<number[]> {
  const tokenizer = await tokenizerOf(checkpoint);
  if (!tokenizer) {
    throw new RopewalkError(
      `--text needs a tokenizer, but ${checkpoint.path} has no tokenizer.json; use --ids.`,
    );
  }
  const texts = await readTextFiles(files);
  return texts.flatMap(({ text }) => tokenizer.encode(text));
}

/** Gradients of the mean loss over tokens 1 … n − 1, written under the names that the checkpoint uses. */
async function writeGradients(
  engine: Engine,
  opened: OpenedModel,
  ids: Int32Array,
  path: string,
): Promise<void> {
  const seq = ids.length - 1;
  const learner = await WholeGraphLearner.create(engine, opened.model, { batch: 1, seq });
  await readWeights(opened, learner.values());
  await learner.computeGradients([{ inputs: ids.slice(0, seq), targets: ids.slice(1) }]);
  await learner.release();
  const entries = learner.trainables.map(({ name, shape, gradient }) => {
    return { name: opened.names.get(name) ?? name, dtype: 'F32' as const, shape, data: gradient };
  });
  await writeFileAtomic(path, async (sink) => {
    await writeSafetensors(sink, entries, { format: 'pt' });
  });
}
