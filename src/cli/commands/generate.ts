import type { Command } from 'commander';
import { openModel, tokenizerOf } from '../../checkpoint/load.node.ts';
import { RopewalkError } from '../../errors.ts';
import type { Decoder } from '../../generation/decoder.ts';
import { generateTokens } from '../../generation/generate.ts';
import { encodePrompt } from '../../generation/generate-text.ts';
import { withSamplingDefaults } from '../../generation/sampling-defaults.ts';
import { StopStrings } from '../../generation/text.ts';
import type { CompiledJsonSchema } from '../../structured/json-schema.ts';
import { StreamDecoder } from '../../tokenizer/stream.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { compileSchemaFile } from '../options/json-schema.ts';
import { addDecoderOptions, type DecoderFlags, decoderFor } from '../options/models.ts';
import { idList, wholeNumber } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import { addSamplingOptions, type SamplingFlags } from '../options/sampling-options.ts';
import { addSpeculationOptions, type SpeculationFlags, speculationFor } from '../options/speculation.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { printable } from '../terminal/printable.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface GenerateFlags extends DecoderFlags, SamplingFlags, SpeculationFlags {
  prompt?: string;
  ids?: number[];
  maxTokens: number;
  stopIds?: number[];
  ignoreEos?: boolean;
  jsonSchema?: string;
  json?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('generate')
    .description('Continue a text with a model.')
    .argument('<model>', 'a Hugging Face model directory, the --out of a training run, or an id on the hub')
    .option('--prompt <text>', 'text to continue')
    .option('--ids <list>', 'token ids to continue, such as 1,2,3', idList)
    .requiredOption('--max-tokens <n>', 'most tokens to add', wholeNumber)
    .option('--stop-ids <list>', "token ids that end the text, instead of the model's own", idList)
    .option('--ignore-eos', 'go on after the token that ends a text')
    .option('--json-schema <file>', 'the new text is JSON that is valid under this JSON Schema')
    .option('--json', 'print {ids, text, tokensPerSecond, warnings} on stdout')
    .addHelpText(
      'after',
      `
Examples:
  ropewalk generate runs/llama --prompt "Call me" --max-tokens 60 --temperature 0.8 --seed 1
  ropewalk generate path/to/model --ids 1,403 --max-tokens 20 --greedy --json
  ropewalk generate path/to/model --prompt "A person:" --max-tokens 80 --json-schema person.json`,
    )
    .action(generate);
  addSpeculationOptions(addDecoderOptions(addSamplingOptions(command, 'text')));
}

async function generate(model: string, flags: GenerateFlags): Promise<void> {
  if ((flags.prompt === undefined) === (flags.ids === undefined)) {
    throw new RopewalkError('give either --prompt TEXT or --ids 1,2,3.');
  }
  const drawing = ['temperature', 'topK', 'topP', 'minP'] as const;
  const unused = drawing.find((name) => flags[name] !== undefined);
  if (flags.greedy && unused) {
    throw new RopewalkError(
      '--greedy takes the likeliest token; it cannot be combined with options of drawing.',
    );
  }
  if (flags.stopIds && flags.ignoreEos) {
    throw new RopewalkError('--stop-ids says what ends the text; it cannot be combined with --ignore-eos.');
  }
  const ends = [
    ['--stop', flags.stop],
    ['--stop-ids', flags.stopIds],
    ['--ignore-eos', flags.ignoreEos],
  ] as const;
  const ending = ends.find(([, value]) => value !== undefined);
  if (flags.jsonSchema !== undefined && ending) {
    throw new RopewalkError(
      `--json-schema says where the text ends; it cannot be combined with ${ending[0]}.`,
    );
  }
  const stops = new StopStrings(flags.stop ?? []);
  const opened = await openModel(await modelPath(model));
  showWarnings(opened.warnings);
  let decoder: Decoder;
  let tokenizer: Tokenizer | undefined;
  let schema: CompiledJsonSchema | undefined;
  let speculation: Awaited<ReturnType<typeof speculationFor>>;
  try {
    tokenizer = await tokenizerOf(opened.checkpoint);
    const textFlag = ['prompt', 'stop', 'jsonSchema'] as const;
    const needsText = textFlag.find((name) => flags[name] !== undefined);
    if (needsText && !tokenizer) {
      const option = { prompt: '--prompt', stop: '--stop', jsonSchema: '--json-schema' }[needsText];
      throw new RopewalkError(`${option} needs text, but ${model} has no tokenizer.json; use --ids.`);
    }
    // A schema that cannot be kept is told before the weights are read.
    schema = flags.jsonSchema === undefined ? undefined : compileSchemaFile(flags.jsonSchema, tokenizer!);
    schema?.constraint({ maxTokens: flags.maxTokens });
    speculation = await speculationFor(flags, flags, tokenizer);
    decoder = await decoderFor(opened, flags, flags.draft !== undefined);
  } finally {
    await opened.checkpoint.tensors.close();
  }
  const prompt = flags.ids ?? encodePrompt(tokenizer!, flags.prompt!, opened.config.bos_token_id);
  const stopTokens = flags.stopIds ?? (flags.ignoreEos ? [] : opened.stopTokens);
  const stream = tokenizer && new StreamDecoder(tokenizer, { skipSpecialTokens: true });
  let interrupt: ReturnType<typeof interruptSignal> | undefined;
  const ids: number[] = [];
  let text = '';
  const show = (piece: string) => {
    text += piece;
    if (!flags.json) process.stdout.write(printable(piece));
  };
  // The prompt is not part of the speed: what a reader waits for is one token after another.
  let started = performance.now();
  const constraint = schema?.constraint({ maxTokens: flags.maxTokens, stopTokens });
  const { speculate } = speculation;
  const options = {
    ...withSamplingDefaults(opened.sampling, flags),
    stopTokens,
    ...(speculate && { speculate }),
    ...(constraint && { constraint }),
  };
  for await (const id of generateTokens(decoder, prompt, options)) {
    if (ids.length === 0) {
      started = performance.now();
      // Until now there was nothing to keep, and what ends any program does not wait for the engine as a handler would.
      interrupt = interruptSignal(() => {});
    }
    if (interrupt?.signal.aborted) {
      process.exitCode = INTERRUPTED;
      break;
    }
    ids.push(id);
    // The token that ends a constrained text is no part of it, whether special or not.
    if (constraint && stopTokens.includes(id)) break;
    if (stream) show(stops.push(stream.push(id)));
    else if (!flags.json) process.stdout.write(`${ids.length > 1 ? ',' : ''}${id}`);
    if (stops.stopped) break;
  }
  interrupt?.dispose();
  const seconds = (performance.now() - started) / 1000;
  if (stream) show(stops.push(stream.flush()) + stops.flush());
  const tokensPerSecond = ids.length > 1 ? (ids.length - 1) / seconds : 0;
  await Promise.all([decoder.release(), speculation.release()]);
  if (flags.json)
    process.stdout.write(`${JSON.stringify({ ids, text, tokensPerSecond, warnings: opened.warnings })}\n`);
  else process.stdout.write('\n');
}
