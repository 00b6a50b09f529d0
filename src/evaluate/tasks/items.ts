import { RopewalkError } from '../../errors.ts';
import type { ModelRequest } from '../model/requests.ts';
import { isSpace } from '../python/text.ts';
import { asInteger, type Doc, isList, type PythonValue } from '../python/values.ts';
import type { TaskConfig } from './config.ts';
import type { TaskData } from './data.ts';
import { FewshotSampler } from './fewshot.ts';
import { TaskFields } from './fields.ts';
import { type PromptOptions, promptOf } from './prompt.ts';
import { placeText } from './template.ts';

/** A row of a task, with its requests to the model. */
export interface Item {
  /** Its index in the split. */
  readonly id: number;
  readonly doc: Doc;
  readonly requests: readonly ModelRequest[];
  readonly target: PythonValue;
  readonly choices: readonly string[] | undefined;
}

/** A task with its rows. */
export interface PreparedTask {
  readonly config: TaskConfig;
  readonly fields: TaskFields;
  readonly items: readonly Item[];
  /** Examples before each item. */
  readonly shots: number;
  /** Rows of the split; `items` may be only the first ones. */
  readonly available: number;
  /** Whether the choices are questions with a common answer. */
  readonly multipleInput: boolean;
  /** Whether several answers are right. */
  readonly multipleTarget: boolean;
}

export interface PrepareOptions {
  /** The maximum number of items; below 1 a share of them. */
  readonly limit?: number | undefined;
  /** Examples before each item, unless the task says 0. */
  readonly shots?: number | undefined;
  readonly chat?: PromptOptions['chat'];
  readonly system?: string | undefined;
}

/**
 * Makes the requests of a task.
 *
 * @throws RopewalkError naming the task, the field and the item.
 */
export function prepareTask(config: TaskConfig, data: TaskData, options: PrepareOptions = {}): PreparedTask {
  const fields = new TaskFields(config, data.columns);
  const shots = options.shots !== undefined && config.shots !== 0 ? options.shots : (config.shots ?? 0);
  const sampler = new FewshotSampler(config, data.examples);
  const first = data.items[0]!;
  const choice = config.wording.docToChoice !== undefined;
  const multipleInput = choice && asInteger(fields.text(first, 0)) !== undefined;
  const multipleTarget = isList(fields.target(first, 0));
  const prompt = { shots, chat: options.chat, system: options.system };
  const count = limited(data.items.length, options.limit);
  const items = data.items.slice(0, count).map((doc, id): Item => {
    const context = promptOf(fields, sampler, doc, id, multipleInput, prompt);
    const target = fields.target(doc, id);
    const choices = choice ? fields.choices(doc, id) : undefined;
    const requests = requestsOf(config, { context, target, choices, id }, options.chat !== undefined);
    return { id, doc, requests, target, choices };
  });
  return { config, fields, items, shots, available: data.items.length, multipleInput, multipleTarget };
}

function limited(available: number, limit: number | undefined): number {
  if (limit === undefined) return available;
  return Math.min(available, limit < 1 ? Math.ceil(available * limit) : Math.floor(limit));
}

interface Asked {
  readonly context: string | readonly string[];
  readonly target: PythonValue;
  readonly choices: readonly string[] | undefined;
  readonly id: number;
}

function requestsOf(config: TaskConfig, asked: Asked, isChat: boolean): ModelRequest[] {
  const { outputType, generation, repeats } = config;
  const { context, target, choices, id } = asked;
  const text = (value: PythonValue, field: string) => {
    if (typeof value === 'string') return value;
    const where = placeText({ task: config.name, field, item: id });
    throw new RopewalkError(`${where}: it must be a text, but is ${JSON.stringify(value)}`);
  };
  switch (outputType) {
    case 'loglikelihood':
      return [
        {
          kind: 'loglikelihood',
          context: context as string,
          continuation: text(target, 'doc_to_target'),
        },
      ];
    case 'loglikelihood_rolling':
      return [{ kind: 'rolling', text: text(target, 'doc_to_target') }];
    case 'generate_until':
      return Array.from({ length: repeats }, (_, repeat) => ({
        ...{ kind: 'generate', context: context as string, settings: generation, repeat },
      }));
    case 'multiple_choice':
      return choiceRequests(config, asked, choices!, isChat);
  }
}

function choiceRequests(
  { wording, metrics }: TaskConfig,
  { context, target }: Asked,
  choices: readonly string[],
  isChat: boolean,
): ModelRequest[] {
  const { genPrefix = '' } = wording;
  // A chat template separates question and answer, unless the answer has begun.
  const begun = genPrefix !== '' && !isSpace(genPrefix.at(-1)!);
  const delimiter = !isChat || begun ? wording.targetDelimiter : '';
  const ask = (before: string, answer: string): ModelRequest => ({
    ...{ kind: 'loglikelihood', context: before, continuation: `${delimiter}${answer}` },
  });
  const asked =
    typeof context === 'string'
      ? choices.map((choice) => ask(context, choice))
      : context.map((one) => ask(one, String(target)));
  const unconditional = metrics.some(({ name }) => name === 'acc_mutual_info')
    ? choices.map((choice) => ask('', choice))
    : [];
  return [...asked, ...unconditional];
}
