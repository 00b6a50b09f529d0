import { type Command, Option } from 'commander';
import { z } from 'zod';
import { openModel } from '../../checkpoint/load.node.ts';
import { EXPORT_FORMATS, exportFormat, formatOptions } from '../../export/formats.node.ts';
import type { ExportResult } from '../../export/source.node.ts';
import { bytes, whole } from '../../inspect/format.ts';
import { kebab, listed, wordsOf } from '../../options.ts';
import { parserOf } from '../options/flags.ts';
import { modelPath } from '../options/resolve.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { forOutput } from '../terminal/printable.ts';
import { Progress } from '../terminal/progress.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface ExportFlags {
  readonly to: string;
  readonly out: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('export')
    .description('Convert a model to another format, with its tokenizer and configuration.')
    .argument('<model>', 'a Hugging Face model directory, a GGUF file, or the --out of a training run')
    .addOption(
      new Option('--to <format>', 'the format')
        .choices(EXPORT_FORMATS.map((format) => format.name))
        .makeOptionMandatory(),
    )
    .requiredOption(
      '--out <path>',
      'the folder to write, or the file with gguf; written completely or not at all',
    );
  for (const option of formatFlags()) command.addOption(option);
  command
    .option('--json', 'print {format, out, parameters, files: [{name, bytes}], notes, warnings} on stdout')
    .addHelpText(
      'after',
      `
${EXPORT_FORMATS.map(({ name, help }) => `${name.padEnd(6)}${help.join(`\n${' '.repeat(6)}`)}`).join('\n')}

Examples:
  ropewalk export runs/llama --to hf --dtype bfloat16 --out llama-bf16
  ropewalk export path/to/model --to onnx --out model-onnx
  ropewalk export path/to/model --to gguf --type q8_0 --out model.gguf`,
    )
    .action((name: string, flags: ExportFlags) => run(command, name, flags));
}

/** Flags for the formats' options, with the formats that have them and their values. */
function formatFlags(): Option[] {
  const names = new Set(EXPORT_FORMATS.flatMap(({ options }) => Object.keys(options)));
  return [...names].flatMap((name) => {
    const having = EXPORT_FORMATS.filter(({ options }) => Object.hasOwn(options, name));
    const words = wordsOf(having[0]!.options[name] as z.ZodType)!;
    const values = having.map(({ name: format, options, defaults }) => {
      const schema = options[name];
      const choices = schema instanceof z.ZodEnum ? `${listed(schema.options as string[])}; ` : '';
      return `${format}: ${choices}default ${String(defaults[name])}`;
    });
    const flag = `--${kebab(name)}`;
    const option = new Option(`${flag} <${words.value}>`, `${words.help} (${values.join('; ')})`);
    const { parse, negated } = words;
    // Choices differ between formats; they are checked once the format is known.
    const schema = having[0]!.options[name] as z.ZodType;
    if (parse || schema instanceof z.ZodNumber) option.argParser(parserOf(schema, words));
    if (negated === undefined) return [option];
    return [option, new Option(`--no-${kebab(name)}`, `the same as ${flag} ${String(negated)}`)];
  });
}

/** The format options that were given: `--no-cache` sets a value of `--cache`. */
function givenOptions(command: Command): Record<string, unknown> {
  const names = new Set(EXPORT_FORMATS.flatMap(({ options }) => Object.keys(options)));
  const given = Object.entries(command.opts()).filter(
    ([name]) => names.has(name) && command.getOptionValueSource(name) === 'cli',
  );
  return Object.fromEntries(
    given.map(([name, value]: [string, unknown]) => {
      const schema = EXPORT_FORMATS.find(({ options }) => Object.hasOwn(options, name))!.options[name];
      return [name, value === false ? wordsOf(schema as z.ZodType)?.negated : value];
    }),
  );
}

async function run(command: Command, name: string, flags: ExportFlags): Promise<void> {
  const format = exportFormat(flags.to);
  const options = formatOptions(format, givenOptions(command));
  const progress = new Progress();
  const opened = await openModel(await modelPath(name));
  showWarnings(opened.warnings, progress);
  const { signal, dispose } = interruptSignal(() => {});
  try {
    const result = await format.write(opened, flags.out, options, (done, total) => {
      // Throwing lets the writer remove incomplete output.
      signal.throwIfAborted();
      progress.update('export', done, total, `${bytes(done)} of ${bytes(total)}`);
    });
    progress.end();
    for (const note of result.notes) progress.note(note);
    report(result, `${format.title}, ${String(options[format.precision])}`, flags, opened.warnings);
  } catch (error) {
    progress.end();
    if (!signal.aborted) throw error;
    progress.note('interrupted; nothing was written');
    process.exitCode = INTERRUPTED;
  } finally {
    dispose();
    await opened.checkpoint.tensors.close();
  }
}

function report(
  { files, parameters, notes }: ExportResult,
  what: string,
  { to, out, json }: ExportFlags,
  warnings: readonly string[],
): void {
  if (json) {
    process.stdout.write(`${JSON.stringify({ format: to, out, parameters, files, notes, warnings })}\n`);
    return;
  }
  const width = Math.max(...files.map((file) => file.name.length));
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  const lines = [
    `${out}: ${what}, ${whole(parameters)} parameters, ${bytes(total)}`,
    ...files.map((file) => `  ${file.name.padEnd(width)}  ${bytes(file.bytes)}`),
  ];
  process.stdout.write(`${forOutput(lines.join('\n'))}\n`);
}
