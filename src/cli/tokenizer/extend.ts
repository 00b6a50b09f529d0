import { type Command, Option } from 'commander';
import { openModel } from '../../checkpoint/load.node.ts';
import { readTextFiles } from '../../text/files.node.ts';
import { type ExtendOptions, type ExtensionResult, extendModel } from '../../vocabulary/extend.node.ts';
import { holdOut } from '../../vocabulary/hold-out.ts';
import { ROW_INITS, type RowInit } from '../../vocabulary/initial-rows.ts';
import { textSizeLine } from '../../vocabulary/presentation.ts';
import { collect, count, integer, notNegative } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { forOutput } from '../terminal/printable.ts';
import { Progress } from '../terminal/progress.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface ExtendFlags {
  text: string[];
  add: number;
  out: string;
  keep?: string[];
  validation: number;
  minFrequency: number;
  init: RowInit;
  seed: number;
  loss: boolean;
  threads?: number;
  json?: boolean;
}

export const EXTEND_EXAMPLE = `
  ropewalk tokenizer extend path/to/model --text korean.txt --add 4096 --out model-korean`;

export function registerExtend(tokenizer: Command): void {
  tokenizer
    .command('extend')
    .description("Add tokens for a language to a model's tokenizer, embedding and head.")
    .argument('<model>', 'a Hugging Face model directory, or an id on the hub')
    .requiredOption(
      '--text <file>',
      'UTF-8 text to learn from (also .gz), a pattern, or a folder of .txt and .md; may be given several times',
      collect,
    )
    .requiredOption('--add <n>', 'number of tokens to add', count)
    .requiredOption('--out <folder>', 'folder to write the extended model to')
    .option(
      '--keep <file>',
      'text whose ids must not change: tokens that would change them are not learned; may be given several times',
      collect,
    )
    .option(
      '--validation <share>',
      'share of the text, at its end, to hold out for measurements',
      notNegative,
      0.05,
    )
    .option('--min-frequency <n>', 'do not merge pairs of tokens that occur less often', count, 2)
    .addOption(
      new Option(
        '--init <kind>',
        'new rows: the mean of the rows of their old tokens, optionally with a little noise',
      )
        .choices(ROW_INITS)
        .default('mean'),
    )
    .option('--seed <n>', 'seed of --init noise', integer, 0)
    .option('--no-loss', "do not measure the model's loss on the held-out text")
    .option('--threads <n>', 'threads of the engine', count)
    .option('--json', 'print {out, first, count, vocabSize, costs, loss} on stdout')
    .addHelpText(
      'after',
      `
Merges are learned on the text as the model's tokenizer encodes it, and follow all existing merges: a text gets different ids
only where a new merge applies. docs/tokenizer.md has the details.

Examples:${EXTEND_EXAMPLE}
  ropewalk tokenizer extend path/to/model --text korean/ --keep english.txt --add 2048 --out model-korean
  ropewalk finetune model-korean --data korean.txt --train-new-rows-first 100 --out runs/korean`,
    )
    .action(extend);
}

async function extend(name: string, flags: ExtendFlags): Promise<void> {
  const { add, out, minFrequency, init, seed, threads, json } = flags;
  const progress = new Progress();
  const { signal, dispose } = interruptSignal(() => {});
  const read = async (files: string[]) => {
    const onWarning = (warning: string) => progress.note(warning);
    return (await readTextFiles(files, { signal, onWarning })).map(({ text }) => text);
  };
  try {
    const { texts, heldOut } = holdOut(await read(flags.text), flags.validation);
    const keep = flags.keep && (await read(flags.keep));
    const opened = await openModel(await modelPath(name));
    showWarnings(opened.warnings);
    try {
      const options: ExtendOptions = {
        ...{ add, minFrequency, init, seed, heldOut, threads, signal },
        ...(keep && { keep }),
        ...(!flags.loss && { scoredBytes: 0 }),
        onProgress: (what, done, total) => progress.update(what, done, total, `${done} of ${total}`),
      };
      const result = await extendModel(opened, out, texts, options);
      progress.end();
      if (json) process.stdout.write(`${JSON.stringify({ out, ...result }, null, 2)}\n`);
      else process.stdout.write(`${forOutput(described(out, result))}\n`);
    } finally {
      await opened.checkpoint.tensors.close();
    }
  } catch (error) {
    progress.end();
    if (!signal.aborted) throw error;
    progress.note('interrupted');
    process.exitCode = INTERRUPTED;
  } finally {
    dispose();
  }
}

function described(
  out: string,
  { first, count: added, vocabSize, examples, costs, loss }: ExtensionResult,
): string {
  const change = (name: string, of: (costs: ExtensionResult['costs']['before']) => number | null) => {
    const [before, after] = [of(costs.before), of(costs.after)];
    return before === null || after === null
      ? []
      : [`${name}: ${before.toFixed(3)} before, ${after.toFixed(3)} now`];
  };
  const whole = (value: number) => value.toLocaleString('en');
  return [
    `${out}: ${whole(added)} new tokens with the ids ${first} to ${first + added - 1}; the vocabulary has ${whole(vocabSize.after)} instead of ${whole(vocabSize.before)}`,
    `the first ones: ${examples.map((text) => JSON.stringify(text)).join(' ')}`,
    `${costs.heldOut ? 'on the held-out text' : 'on the text used for learning'} (${textSizeLine(costs.size)}):`,
    ...[
      ...change('tokens per Hangul syllable', ({ tokensPerSyllable }) => tokensPerSyllable),
      ...change('tokens per word', ({ tokensPerWord }) => tokensPerWord),
      ...change('tokens per byte', ({ tokensPerByte }) => tokensPerByte),
      ...(loss
        ? [
            `loss per byte, before any training: ${loss.before.toFixed(4)} nats before, ${loss.after.toFixed(4)} now (on ${whole(loss.bytes)} bytes)`,
          ]
        : []),
    ].map((line) => `  ${line}`),
  ].join('\n');
}
