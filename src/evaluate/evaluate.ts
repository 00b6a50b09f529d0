import { RopewalkError } from '../errors.ts';
import { agree } from '../ranks/agree.ts';
import type { Communicator } from '../ranks/communicator.ts';
import { together } from '../ranks/together.ts';
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
  /**
   * Processes that share the requests. Each of them makes the same call, except that only the first has a store, and has
   * the same result.
   */
  readonly ranks?: Communicator | undefined;
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
  const prepared = await together(options.ranks, async () => {
    const tasks: PreparedTask[] = [];
    for (const config of selected.tasks) {
      const wanted = config.shots === 0 ? 0 : (shots ?? config.shots ?? 0);
      const data = await readTaskData(config, read(config), wanted > 0);
      tasks.push(prepareTask(config, data, { limit, shots, chat: form, system }));
    }
    return tasks;
  });
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
  { store, onProgress, batch = BATCH, signal, ranks }: EvaluateOptions,
): Promise<ModelAnswer[][][]> {
  const answers = tasks.map(({ items }) => items.map((): ModelAnswer[] => []));
  // Items with the same request share the answer.
  const asked = new Map<string, { request: ModelRequest; places: RequestPlace[] }>();
  let total = 0;
  tasks.forEach(({ items }, task) => {
    items.forEach(({ requests }, item) => {
      requests.forEach((request, at) => {
        total++;
        const key = JSON.stringify(request);
        const same = asked.get(key);
        if (same) same.places.push({ task, item, at });
        else asked.set(key, { request, places: [{ task, item, at }] });
      });
    });
  });
  const all = [...asked.values()];
  const known = await knownAnswers(all, store, ranks);
  let done = 0;
  const take = ({ places }: (typeof all)[number], answer: ModelAnswer) => {
    for (const { task, item, at } of places) answers[task]![item]![at] = answer;
    done += places.length;
  };
  for (const [i, answer] of known) take(all[i]!, answer);
  onProgress?.(done, total);
  const open = all.filter((_, i) => !known.has(i));
  const nameOf = (request: number) => {
    const { task, item } = open[request]!.places[0]!;
    return placeText({ task: tasks[task]!.config.name, field: 'doc_to_text', item });
  };
  const requests = open.map(({ request }) => request);
  for await (const { request: i, answer } of model.answer(requests, { batch, signal, ranks }, nameOf)) {
    // Several ranks stop together.
    if (!ranks) signal?.throwIfAborted();
    take(open[i]!, answer);
    await store?.put(open[i]!.request, answer);
    onProgress?.(done, total);
  }
  if (done < total)
    throw new RopewalkError(`${total - done} requests have no answer; this is a bug in Ropewalk.`);
  return answers;
}

/** The stored answers by index: those of the first rank, if there are several. */
async function knownAnswers(
  all: readonly { readonly request: ModelRequest }[],
  store: AnswerStore | undefined,
  ranks: Communicator | undefined,
): Promise<Map<number, ModelAnswer>> {
  const known = all.flatMap(({ request }, i): [number, ModelAnswer][] => {
    const answer = store?.get(request);
    return answer === undefined ? [] : [[i, answer]];
  });
  if (!ranks) return new Map(known);
  const requests = new TextEncoder().encode(JSON.stringify(all.map(({ request }) => request)));
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', requests));
  await agree(ranks, { requests: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('') });
  const [first] = await ranks.gather(ranks.rank === 0 ? JSON.stringify(known) : '');
  return new Map(JSON.parse(first!) as [number, ModelAnswer][]);
}
