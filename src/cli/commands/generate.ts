import type { Command } from 'commander';
import { openModel } from '../../checkpoint/load.node.ts';
import { RopewalkError } from '../../errors.ts';
import type { TokenPiece } from '../../generation/generate-text.ts';
import { type OpenedText, openText } from '../../generation/open-text.node.ts';
import type { Communicator } from '../../ranks/communicator.ts';
import { checkFlags, type GenerateFlags, generationOptions } from '../options/generate-flags.ts';
import { addDecoderOptions } from '../options/models.ts';
import { count, idList, wholeNumber } from '../options/options.ts';
import { readPrompt } from '../options/prompt.ts';
import { modelPath } from '../options/resolve.ts';
import { addSamplingOptions } from '../options/sampling-options.ts';
import { addSpeculationOptions } from '../options/speculation.ts';
import { generateRows } from '../runs/generate-rows.ts';
import { together, withRanks } from '../runs/ranks.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { forOutput } from '../terminal/printable.ts';
import { showWarnings } from '../terminal/warnings.ts';

export function register(program: Command): void {
  const command = program
    .command('generate')
    .description('Continue a text with a model, or many.')
    .argument('<model>', 'a Hugging Face model directory, the --out of a training run, or an id on the hub')
    .option('--prompt <text>', 'text to continue; - reads standard input')
    .option('--prompt-file <file>', 'text to continue from a UTF-8 file, without its final line break')
    .option('--ids <list>', 'token ids to continue, such as 1,2,3', idList)
    .option(
      '--prompts <file>',
      'many prompts: a .jsonl, .json, .csv, .tsv or .parquet file with a field "prompt" (or "ids"), or a .txt with one in each line; the result is a line of JSON for each, in order',
    )
    .option('--batch <n>', 'with --prompts: most texts that run together (default: 16)', count)
    .option('--out <file>', 'with --prompts: file for the result, instead of stdout')
    .option(
      '--max-tokens <n>',
      'maximum number of new tokens; by default up to the end of the text or the position limit',
      wholeNumber,
    )
    .option('--stop-ids <list>', "token ids that end the text, instead of the model's own", idList)
    .option('--ignore-eos', 'continue after the end-of-text token')
    .option('--json-schema <file>', 'the new text is JSON that is valid against this JSON Schema')
    .option('--json', 'print {ids, text, tokensPerSecond, warnings} on stdout')
    .addHelpText(
      'after',
      `
Each of many prompts has a seed of its own: --seed plus its index, from 0. Their lines of JSON have the fields prompt, ids,
text and end: "stop" at a token or text that ends it, "length" at --max-tokens.

Examples:
  ropewalk generate runs/llama --prompt "Call me" --max-tokens 60 --temperature 0.8 --seed 1
  ropewalk generate path/to/model --prompt-file long.txt --temperature 0
  echo "Call me" | ropewalk generate path/to/model --prompt - --max-tokens 60
  ropewalk generate path/to/model --ids 1,403 --max-tokens 20 --greedy --json
  ropewalk generate path/to/model --prompt "A person:" --max-tokens 80 --json-schema person.json
  ropewalk generate path/to/model --prompts questions.jsonl --max-tokens 200 --out answers.jsonl
  mpirun -n 4 ropewalk generate path/to/model --prompts questions.jsonl --max-tokens 200 --out answers.jsonl`,
    )
    .action((model: string, flags: GenerateFlags) =>
      withRanks((ranks) =>
        flags.prompts === undefined
          ? generate(model, flags, ranks)
          : generateRows(model, flags, flags.prompts, ranks),
      ),
    );
  addSpeculationOptions(addDecoderOptions(addSamplingOptions(command, 'text')));
}

async function generate(model: string, flags: GenerateFlags, ranks: Communicator | undefined): Promise<void> {
  if (ranks) {
    const reason =
      'generate continues one text in one process; give many with --prompts FILE, or start it alone.';
    await together(ranks, () => Promise.reject(new RopewalkError(reason)));
  }
  checkFlags(flags);
  const given = await readPrompt(flags);
  const prompt = flags.ids ?? given!;
  const { draft, speculate } = flags;
  const opened = await openModel(await modelPath(model), flags);
  showWarnings(opened.warnings);
  let text: OpenedText;
  try {
    text = await openText(opened, {
      ...{ ...generationOptions(flags, opened, model), prompt, speculate },
      ...(draft !== undefined && { draft: await modelPath(draft) }),
    });
  } finally {
    await opened.checkpoint.tensors.close();
  }
  showWarnings(text.draftWarnings);
  const result = await show(text.pieces(), flags.json !== true, text.tokenizer !== undefined);
  await text.release();
  process.stdout.write(flags.json ? `${JSON.stringify({ ...result, warnings: opened.warnings })}\n` : '\n');
}

/** Shows pieces as they are generated, until the end or Ctrl-C. */
async function show(pieces: AsyncIterable<TokenPiece>, shows: boolean, hasText: boolean) {
  let interrupt: ReturnType<typeof interruptSignal> | undefined;
  const ids: number[] = [];
  let text = '';
  // The prompt is excluded from the speed: readers wait for single tokens.
  let started = performance.now();
  for await (const piece of pieces) {
    if (ids.length === 0) {
      started = performance.now();
      // Until now there was nothing to keep, and the default handling of Ctrl-C does not wait for the engine as a
      // handler would.
      interrupt = interruptSignal(() => {});
    }
    if (interrupt?.signal.aborted) {
      process.exitCode = INTERRUPTED;
      break;
    }
    if (piece.id !== undefined) ids.push(piece.id);
    text += piece.text;
    if (shows)
      process.stdout.write(hasText ? forOutput(piece.text) : `${ids.length > 1 ? ',' : ''}${piece.id}`);
  }
  interrupt?.dispose();
  const seconds = (performance.now() - started) / 1000;
  return { ids, text, tokensPerSecond: ids.length > 1 ? (ids.length - 1) / seconds : 0 };
}
