import { RopewalkError } from '../errors.ts';
import type { StandardErrorOptions } from './metrics/standard-error.ts';
import type { AnsweringModel } from './model/answering-model.ts';
import type { ModelAnswer, ModelRequest } from './model/requests.ts';
import type { EvaluationResult } from './results.ts';
import { type ScoredGroup, scoreGroup } from './score-groups.ts';
import { type ScoredTask, scoreTask } from './score-task.ts';
import type { TaskConfig } from './tasks/config.ts';
import { type ReadSplit, readTaskData } from './tasks/data.ts';
import { type PreparedTask, prepareTask } from './tasks/items.ts';
import { placeText } from './tasks/template.ts';

/** Stores answers and finds them again. */
export interface AnswerStore {
  get(request: ModelRequest): ModelAnswer | undefined;
  put(request: ModelRequest, answer: ModelAnswer): Promise<void>;
}

export interface EvaluateOptions extends StandardErrorOptions {
  /** The maximum number of items per task; below 1 a share of them. */
  readonly limit?: number | undefined;
  /** Examples before each item, unless a task says 0. */
  readonly shots?: number | undefined;
  /** Whether prompts are written with the model's chat template, with examples as separate turns. Default false. */
  readonly chat?: boolean | undefined;
  /** With `chat`: examples go into a single user message instead. */
  readonly singleTurn?: boolean | undefined;
  /** A system message before a task's description. */
  readonly system?: string | undefined;
  /** The maximum number of sequences per run; default 16. */
  readonly batch?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly store?: AnswerStore | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** An evaluation with all its items. */
export interface Evaluation {
  readonly result: EvaluationResult;
  readonly tasks: readonly ScoredTask[];
}

const BATCH = 16;

/**
 * Evaluates a model on tasks of lm-evaluation-harness 0.4.13. Prompts, answers and scores are those of its `hf` model
 * in float32.
 *
 * @param name the model's name in results.
 * @param read reads the rows of a task's split.
 * @throws RopewalkError naming task, field and item.
 */
export async function evaluateModel(
  name: string,
  model: AnsweringModel,
  selected: { readonly tasks: readonly TaskConfig[]; readonly groups: readonly ScoredGroup[] },
  read: (config: TaskConfig) => ReadSplit,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const { chat = false, limit, shots, system } = options;
  const form = chat
    ? {
        render: model.render.bind(model),
        multiturn: !options.singleTurn,
        system,
      }
    : undefined;
  const prepared: PreparedTask[] = [];
  for (const config of selected.tasks) {
    const wanted = config.shots === 0 ? 0 : (shots ?? config.shots ?? 0);
    const data = await readTaskData(config, read(config), wanted > 0);
    prepared.push(prepareTask(config, data, { limit, shots, chat: form, system }));
  }
  const answers = await answersOf(model, prepared, options);
  const tasks: ScoredTask[] = [];
  for (const [i, task] of prepared.entries()) tasks.push(await scoreTask(task, answers[i]!, options));
  const results = tasks.map(({ result }) => result);
  const groups = selected.groups.map((group) => scoreGroup(group, results));
  return { result: { model: name, chat, limit: limit ?? null, tasks: results, groups }, tasks };
}

/** The position of a request. */
interface RequestPlace {
  readonly task: number;
  readonly item: number;
  readonly at: number;
}

/** The answers to all requests, by task, item and request. */
async function answersOf(
  model: AnsweringModel,
  tasks: readonly PreparedTask[],
  { store, onProgress, batch = BATCH, signal }: EvaluateOptions,
): Promise<ModelAnswer[][][]> {
  const answers = tasks.map(({ items }) => items.map((): ModelAnswer[] => []));
  const open = new Map<string, { request: ModelRequest; places: RequestPlace[] }>();
  let total = 0;
  let done = 0;
  tasks.forEach(({ items }, task) => {
    items.forEach(({ requests }, item) => {
      requests.forEach((request, at) => {
        total++;
        const known = store?.get(request);
        if (known !== undefined) {
          answers[task]![item]![at] = known;
          done++;
          return;
        }
        // Items with the same request share the answer.
        const key = JSON.stringify(request);
        const same = open.get(key);
        if (same) same.places.push({ task, item, at });
        else open.set(key, { request, places: [{ task, item, at }] });
      });
    });
  });
  onProgress?.(done, total);
  const asked = [...open.values()];
  const nameOf = (request: number) => {
    const { task, item } = asked[request]!.places[0]!;
    return placeText({ task: tasks[task]!.config.name, field: 'doc_to_text', item });
  };
  const requests = asked.map(({ request }) => request);
  for await (const { request: index, answer } of model.answer(requests, { batch, signal }, nameOf)) {
    signal?.throwIfAborted();
    const { request, places } = asked[index]!;
    for (const { task, item, at } of places) answers[task]![item]![at] = answer;
    await store?.put(request, answer);
    done += places.length;
    onProgress?.(done, total);
  }
  if (done < total)
    throw new RopewalkError(`${total - done} requests have no answer; this is a bug in Ropewalk.`);
  return answers;
}
