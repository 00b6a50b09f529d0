import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { Option } from 'commander';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { TOO_LONG } from '../../data/examples.node.ts';
import { RopewalkError } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';
import { camel, checkSettings, finetuneSettings, kebab } from '../../finetune/settings.ts';
import { column, DATA_HELP, specialTokensOption, TOO_LONG_HELP } from './data-options.ts';
import { collect, count, integer, notNegative, positive, wholeNumber } from './options.ts';

/** What a configuration file may hold: the settings of a run, and what else the command needs. */
const finetuneConfig = z.strictObject({
  ...finetuneSettings.shape,
  model: z.string().optional(),
  data: z.union([z.string(), z.array(z.string())]).optional(),
  out: z.string().optional(),
  template: z.string().optional(),
  columns: z.record(z.string(), z.string()).optional(),
  tooLong: z.enum(TOO_LONG).default('continue'),
  specialTokens: z.enum(['special', 'text']).default('special'),
  malformed: z.enum(['stop', 'drop']).default('stop'),
  threads: z.int().min(1).optional(),
});
export type FinetuneConfig = z.output<typeof finetuneConfig>;

/** Options have no defaults of commander's own: what is not given may stand in the configuration file. */
export function addFinetuneOptions(command: Command): Command {
  const choice = (flags: string, text: string, values: readonly string[]) =>
    new Option(flags, text).choices([...values]);
  return command
    .option('--config <file>', 'a YAML file of these options by their names; options given here win')
    .option('--data <file>', DATA_HELP, collect)
    .option(
      '--column <what=name>',
      'a column that is not called as usual, such as prompt=Q; may be given several times',
      column,
    )
    .option('--template <name|file>', 'a chat template for a model that has none')
    .addOption(
      choice('--train-on <which>', 'tokens whose loss counts (default: assistant)', ['assistant', 'all']),
    )
    .addOption(choice('--too-long <what>', `${TOO_LONG_HELP} (default: continue)`, TOO_LONG))
    .addOption(specialTokensOption('special'))
    .addOption(choice('--malformed <what>', 'for rows that cannot be read (default: stop)', ['stop', 'drop']))
    .option('--validation <n>', 'examples held out, a share below 1 or a number (default: 0.05)', notNegative)
    .option('--out <dir>', 'folder of the run: checkpoints, metrics.jsonl, report, and the finished model')
    .option('--epochs <n>', 'passes over the data (default: 3)', positive)
    .option('--steps <n>', 'optimiser steps, in place of epochs', count)
    .option('--batch <n>', 'rows in a micro-batch (default: 4)', count)
    .option('--seq <n>', 'tokens in a row (default: 512)', count)
    .option('--accumulate <n>', 'micro-batches for each step (default: 1)', count)
    .option('--no-pack', 'one example in a row, rather than as many as fit')
    .option('--lr <rate>', 'peak learning rate (default: 2e-5)', positive)
    .addOption(
      choice('--schedule <kind>', 'how the rate falls (default: cosine)', ['cosine', 'linear', 'constant']),
    )
    .option('--warmup <n>', 'steps in which the rate climbs (default: 5 % of all, at most 100)', wholeNumber)
    .option('--min-lr-ratio <r>', 'where the rate ends, as a share of the peak (default: 0.1)', notNegative)
    .addOption(choice('--optimizer <kind>', 'default: adamw', ['adamw', 'adafactor', 'sgd']))
    .addOption(
      choice('--states <form>', "what AdamW's moments are kept in (default: float32)", [
        'float32',
        'bfloat16',
        'int8',
      ]),
    )
    .option('--weight-decay <w>', 'decoupled decay; none on norms and biases (default: 0.01)', notNegative)
    .option('--beta1 <b>', 'of AdamW (default: 0.9)', notNegative)
    .option('--beta2 <b>', 'of AdamW (default: 0.999)', notNegative)
    .option('--eps <e>', 'of AdamW (default: 1e-8)', notNegative)
    .option('--clip <norm>', 'largest gradient norm; 0 for no clipping (default: 1)', notNegative)
    .addOption(
      choice(
        '--memory <mode>',
        'fast; recompute activations; or light, which also updates while going back (default: fast)',
        ['fast', 'recompute', 'light'],
      ),
    )
    .option(
      '--freeze <pattern>',
      "weights that stay, such as 'model.layers.0.*'; may be given several times",
      collect,
    )
    .option('--add-token <text>', 'a new special token; may be given several times', collect)
    .option('--eval-every <n>', 'steps between evaluations; 0 for only at the end (default: 50)', wholeNumber)
    .option(
      '--save-every <n>',
      'steps between checkpoints; 0 for only at the end (default: 100)',
      wholeNumber,
    )
    .option('--keep <n>', 'checkpoints kept (default: 2)', count)
    .option(
      '--patience <n>',
      'evaluations without a lower loss that end training; 0 for never (default: 0)',
      wholeNumber,
    )
    .option(
      '--guard <z>',
      'skip batches whose loss is z deviations above the recent ones; 0 for never (default: 6)',
      notNegative,
    )
    .option('--sample-prompt <text>', 'continued at each evaluation; may be given several times', collect)
    .option('--sample-tokens <n>', 'most tokens of a sample (default: 48)', count)
    .addOption(
      choice('--dtype <form>', 'of the finished weights (default: float32)', ['float32', 'bfloat16']),
    )
    .addOption(
      choice('--result <which>', 'weights of the lowest held-out loss, or the last ones (default: best)', [
        'best',
        'last',
      ]),
    )
    .option('--seed <n>', 'of the order of the data and the split (default: 0)', integer)
    .option('--threads <n>', 'threads of the engine', count);
}

/**
 * The options of a run: those of the configuration file, and over them those of the command line.
 *
 * @throws RopewalkError naming the file or option and the setting that is unknown or wrong.
 */
export async function readFinetuneConfig(
  command: Command,
  flags: Readonly<Record<string, unknown>>,
): Promise<FinetuneConfig> {
  const file = flags.config as string | undefined;
  const stored = file === undefined ? {} : await readYaml(file);
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(flags)) {
    const key = name === 'column' ? 'columns' : name;
    // --no-pack alone has a default of commander's.
    if (key in finetuneConfig.shape && command.getOptionValueSource(name) === 'cli') given[key] = value;
  }
  const place = (name: string) => {
    const option = name === 'columns' ? 'column' : kebab(name);
    return name in given || !(name in stored) ? `--${option}` : `${file}: "${kebab(name)}"`;
  };
  return checkSettings(finetuneConfig, { ...stored, ...given }, place);
}

async function readYaml(file: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw fileError(error, 'read', file);
  }
  const document = parseDocument(text, { prettyErrors: true });
  const [problem] = document.errors;
  if (problem)
    throw new RopewalkError(
      `${file} is not valid YAML: ${problem.message.split('\n')[0]!.replace(/:$/, '')}.`,
    );
  const value: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RopewalkError(`${file}: a configuration is a list of settings, such as "epochs: 2".`);
  }
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [camel(name), each as unknown]));
}
