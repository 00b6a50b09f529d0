import { type Command, Option } from 'commander';
import { openModel } from '../../checkpoint/load.node.ts';
import { RopewalkError } from '../../errors.ts';
import { exportGguf, GGUF_TYPES, type GgufType } from '../../export/gguf.node.ts';
import { exportHuggingFace } from '../../export/hf.node.ts';
import { exportOnnx } from '../../export/onnx.node.ts';
import type { ExportProgress, ExportResult, ExportSource } from '../../export/source.node.ts';
import { bytes, whole } from '../../inspect/format.ts';
import { byteSize } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { forOutput } from '../terminal/printable.ts';
import { Progress } from '../terminal/progress.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface ExportFlags {
  to: string;
  out: string;
  dtype?: string;
  type?: GgufType;
  maxShardSize?: number;
  /** false for --no-cache. */
  cache?: 'with' | 'without' | 'both' | false;
  json?: boolean;
}

/** What a format is called, which options it knows, and what writes it. */
interface Format {
  readonly title: string;
  /** What weights can be stored in, the default first, and the flag that says it. */
  readonly precision: { readonly flag: 'dtype' | 'type'; readonly choices: readonly string[] };
  /** Options of this format alone, by their flags' names. */
  readonly options: readonly (keyof ExportFlags)[];
  write(
    source: ExportSource,
    flags: ExportFlags,
    precision: string,
    onProgress: ExportProgress,
  ): Promise<ExportResult>;
}

const FORMATS: Readonly<Record<string, Format>> = {
  hf: {
    title: 'Hugging Face directory',
    precision: { flag: 'dtype', choices: ['float32', 'float16', 'bfloat16'] },
    options: ['maxShardSize'],
    write: (source, { out, maxShardSize }, dtype, onProgress) =>
      exportHuggingFace(source, out, {
        dtype: dtype as 'float32' | 'float16' | 'bfloat16',
        onProgress,
        ...(maxShardSize !== undefined && { maxShardBytes: maxShardSize }),
      }),
  },
  onnx: {
    title: 'ONNX',
    precision: { flag: 'dtype', choices: ['float32', 'float16'] },
    options: ['cache'],
    write: (source, { out, cache }, dtype, onProgress) =>
      exportOnnx(source, out, {
        dtype: dtype as 'float32' | 'float16',
        onProgress,
        cache: cache === false ? 'without' : (cache ?? 'with'),
      }),
  },
  gguf: {
    title: 'GGUF',
    precision: { flag: 'type', choices: ['f16', ...GGUF_TYPES.filter((type) => type !== 'f16')] },
    options: [],
    write: (source, { out }, type, onProgress) =>
      exportGguf(source, out, { type: type as GgufType, onProgress }),
  },
};

/** Options that not every format has, as they are typed. */
const TYPED: Readonly<Partial<Record<keyof ExportFlags, string>>> = {
  maxShardSize: '--max-shard-size',
  cache: '--cache or --no-cache',
  dtype: '--dtype',
  type: '--type',
};

export function register(program: Command): void {
  program
    .command('export')
    .description('Convert a model to another format, with its tokenizer and configuration.')
    .argument('<model>', 'a Hugging Face model directory, a GGUF file, or the --out of a training run')
    .addOption(new Option('--to <format>', 'the format').choices(Object.keys(FORMATS)).makeOptionMandatory())
    .requiredOption(
      '--out <path>',
      'the folder to write, or the file with gguf; written completely or not at all',
    )
    .option(
      '--dtype <dtype>',
      'hf, onnx: type of the stored weights: float32 (default), float16 or, with hf, bfloat16',
    )
    .addOption(
      new Option('--type <type>', 'gguf: type of the stored matrices; default f16').choices(GGUF_TYPES),
    )
    .option(
      '--max-shard-size <size>',
      'hf: the largest file of weights, such as 500MB; default 5GB',
      byteSize,
    )
    .addOption(
      new Option(
        '--cache <graphs>',
        'onnx: the graph with a cache, without one, or both; default with',
      ).choices(['with', 'without', 'both']),
    )
    .option('--no-cache', 'onnx: the same as --cache without')
    .option('--json', 'print {format, out, parameters, files: [{name, bytes}], notes, warnings} on stdout')
    .addHelpText(
      'after',
      `
hf    safetensors, config.json, generation_config.json and the tokenizer's files, as transformers loads them
onnx  onnx/model.onnx and onnx/model.onnx_data with only ai.onnx operators, in the layout of transformers.js; with
      float16, matrices are stored in float16 and everything is computed in float32; --cache without writes
      onnx/model_no_cache.onnx
gguf  one file for llama.cpp and programs built on it; norms, biases and positions stay float32, and with q8_0 or q4_0,
      matrices whose rows are not a multiple of 32 become f16

Examples:
  ropewalk export runs/llama --to hf --dtype bfloat16 --out llama-bf16
  ropewalk export path/to/model --to onnx --out model-onnx
  ropewalk export path/to/model --to gguf --type q8_0 --out model.gguf`,
    )
    .action(run);
}

async function run(name: string, flags: ExportFlags): Promise<void> {
  const format = FORMATS[flags.to]!;
  const precision = flags[format.precision.flag] ?? format.precision.choices[0]!;
  checkFlags(format, precision, flags);
  const progress = new Progress();
  const opened = await openModel(await modelPath(name));
  showWarnings(opened.warnings, progress);
  const { signal, dispose } = interruptSignal(() => {});
  try {
    const result = await format.write(opened, flags, precision, (done, total) => {
      // Leaving through an error lets the writer remove what is half done.
      signal.throwIfAborted();
      progress.update('export', done, total, `${bytes(done)} of ${bytes(total)}`);
    });
    progress.end();
    for (const note of result.notes) progress.note(note);
    report(result, `${format.title}, ${precision}`, flags, opened.warnings);
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

function checkFlags({ precision, options }: Format, chosen: string, flags: ExportFlags): void {
  for (const [name, typed] of Object.entries(TYPED) as [keyof ExportFlags, string][]) {
    if (flags[name] === undefined || options.includes(name) || name === precision.flag) continue;
    throw new RopewalkError(`${typed} means nothing with --to ${flags.to}; leave it out.`);
  }
  if (!precision.choices.includes(chosen)) {
    throw new RopewalkError(
      `--${precision.flag} ${chosen} cannot be written with --to ${flags.to}; choose ${precision.choices.join(' or ')}.`,
    );
  }
}
