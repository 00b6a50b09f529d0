import { RopewalkError } from '../../errors.ts';
import { type FilterPipeline, readPipelines } from '../filters/pipelines.ts';
import { type MetricSettings, readMetrics } from '../metrics/settings.ts';
import type { Doc } from '../python/values.ts';
import { FieldReader } from './field-reader.ts';
import { type GenerationSettings, readGeneration } from './generation-settings.ts';
import type { TaskFile } from './task-file.ts';

const OUTPUT_TYPES = ['loglikelihood', 'loglikelihood_rolling', 'multiple_choice', 'generate_until'] as const;
export type OutputType = (typeof OUTPUT_TYPES)[number];

/** How a row becomes text, for an item or an example. */
export interface Wording {
  readonly docToText: string | number | undefined;
  readonly docToTarget: string | number | readonly string[] | undefined;
  readonly docToChoice: string | readonly string[] | undefined;
  readonly genPrefix: string | undefined;
  readonly targetDelimiter: string;
  readonly fewshotDelimiter: string;
}

/** A checked task of the harness: everything that its numbers depend on, except rows and model. */
export interface TaskConfig {
  readonly name: string;
  readonly alias: string;
  readonly datasetPath: string | undefined;
  readonly datasetName: string | undefined;
  readonly datasetSettings: Readonly<Record<string, unknown>>;
  readonly splits: {
    readonly training: string | undefined;
    readonly validation: string | undefined;
    readonly test: string | undefined;
    readonly fewshot: string | undefined;
  };
  readonly outputType: OutputType;
  readonly description: string;
  readonly wording: Wording;
  readonly fewshot: {
    readonly wording: Wording;
    readonly sampler: 'default' | 'first_n';
    readonly samples: readonly Doc[] | undefined;
  };
  /** Undefined if the task does not set it; the caller cannot override 0. */
  readonly shots: number | undefined;
  readonly repeats: number;
  readonly generation: GenerationSettings;
  readonly metrics: readonly MetricSettings[];
  readonly pipelines: readonly FilterPipeline[];
  readonly version: string;
}

/** Fields without an effect here. */
const WITHOUT_EFFECT = [
  ...['tag', 'group', 'task_list', 'group_alias', 'should_decontaminate', 'doc_to_decontamination_query'],
];

/** Fields that are not supported, and why. */
const REFUSED: Readonly<Record<string, string>> = {
  process_docs: 'it changes the rows with Python code',
  process_results: 'it scores with Python code',
  custom_dataset: 'it creates the rows with Python code',
  class: 'the task is written in Python',
  doc_to_image: 'the task needs images',
  doc_to_audio: 'the task needs sounds',
  use_prompt: 'its prompts come from promptsource',
};

/**
 * Checks the fields of a task.
 *
 * @param file including the files that it includes.
 * @param where the file's name in messages.
 * @throws RopewalkError naming the task and the field, for a Python function and for any unsupported field that would
 *   change its numbers.
 */
export function readTask(file: TaskFile, where: string): TaskConfig {
  if (typeof file.task !== 'string' || file.task === '') {
    throw new RopewalkError(`${where}: the field "task" is missing: it is the name of the task; add it`);
  }
  const name = file.task;
  const fields = new FieldReader(file, `task "${name}" (${where})`);
  fields.text('task');
  for (const [field, why] of Object.entries(REFUSED)) {
    if (fields.has(field)) fields.refuse(field, `${why}, which is not supported`);
  }
  if (file.unsafe_code === true) fields.refuse('unsafe_code', 'it runs code written by a model');
  const outputType = fields.choice('output_type', OUTPUT_TYPES, 'generate_until');
  const wording = readWording(fields, outputType);
  const config: TaskConfig = {
    ...{ name, outputType, wording },
    alias: fields.text('task_alias') ?? name,
    datasetPath: fields.text('dataset_path'),
    datasetName: fields.text('dataset_name'),
    datasetSettings: fields.mapping('dataset_kwargs') ?? {},
    splits: {
      training: fields.text('training_split'),
      validation: fields.text('validation_split'),
      test: fields.text('test_split'),
      fewshot: fields.text('fewshot_split'),
    },
    description: fields.text('description') ?? '',
    fewshot: readFewshot(fields, wording),
    shots: fields.count('num_fewshot'),
    repeats: fields.count('repeats') ?? 1,
    generation: readGeneration(fields, wording.fewshotDelimiter),
    metrics: readMetrics(fields, outputType),
    pipelines: readPipelines(fields, outputType === 'generate_until'),
    version: version(fields),
  };
  if (config.splits.test === undefined && config.splits.validation === undefined) {
    fields.refuse('test_split', 'neither it nor "validation_split" says which rows are the items; add one');
  }
  fields.end(WITHOUT_EFFECT);
  return config;
}

function readWording(fields: FieldReader, outputType: OutputType): Wording {
  const docToChoice = choices(fields, 'doc_to_choice');
  if (outputType === 'multiple_choice' && docToChoice === undefined) {
    fields.refuse('doc_to_choice', 'it is missing: a multiple-choice task needs its choices; add it');
  }
  const docToText = fields.template('doc_to_text');
  const docToTarget = target(fields, 'doc_to_target');
  if (docToText === undefined)
    fields.refuse('doc_to_text', 'it is missing: it is the question to the model; add it');
  if (docToTarget === undefined)
    fields.refuse('doc_to_target', 'it is missing: it is the right answer; add it');
  return {
    ...{ docToChoice, docToText, docToTarget },
    genPrefix: fields.text('gen_prefix'),
    targetDelimiter: fields.text('target_delimiter') ?? ' ',
    fewshotDelimiter: fields.text('fewshot_delimiter') ?? '\n\n',
  };
}

function readFewshot(fields: FieldReader, usual: Wording): TaskConfig['fewshot'] {
  const own = fields.within('fewshot_config');
  if (own?.has('process_docs')) own.refuse('process_docs', REFUSED.process_docs!);
  if (own?.has('fewshot_indices')) {
    own.refuse('fewshot_indices', 'lm-evaluation-harness 0.4.13 ignores it; name the examples in "samples"');
  }
  const sampler = own?.choice('sampler', ['default', 'first_n'] as const, 'default') ?? 'default';
  const split = own?.text('split');
  if (split !== undefined && split !== fields.text('fewshot_split')) {
    own!.refuse('split', 'give it as "fewshot_split" of the task');
  }
  const samples = own?.list('samples');
  const result = {
    sampler,
    samples: samples as readonly Doc[] | undefined,
    wording: {
      docToText: own?.template('doc_to_text') ?? usual.docToText,
      docToTarget: (own && target(own, 'doc_to_target')) ?? usual.docToTarget,
      docToChoice: (own && choices(own, 'doc_to_choice')) ?? usual.docToChoice,
      genPrefix: own?.text('gen_prefix') ?? usual.genPrefix,
      targetDelimiter: own?.text('target_delimiter') ?? usual.targetDelimiter,
      fewshotDelimiter: own?.text('fewshot_delimiter') ?? usual.fewshotDelimiter,
    },
  };
  own?.end([]);
  return result;
}

function choices(fields: FieldReader, field: string): string | readonly string[] | undefined {
  const value = fields.value(field);
  if (value === undefined || typeof value === 'string') return value;
  const list = Array.isArray(value) ? value : typeof value === 'object' ? Object.values(value as object) : [];
  if (list.length === 0 || !list.every((one) => typeof one === 'string')) {
    fields.refuse(field, 'it must be a template, or a list of texts; put numbers in quotes');
  }
  return list as string[];
}

function target(fields: FieldReader, field: string): string | number | readonly string[] | undefined {
  const value = fields.value(field);
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value as string[];
  return fields.template(field);
}

function version(fields: FieldReader): string {
  const metadata = fields.value('metadata');
  const value =
    typeof metadata === 'object' && metadata !== null
      ? (metadata as { version?: unknown }).version
      : undefined;
  return value === undefined ? 'Yaml' : String(value);
}
