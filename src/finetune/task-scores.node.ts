import { setImmediate } from 'node:timers/promises';
import { option as named, said } from '../errors.ts';
import { type ComparedTask, compareEvaluations, type MetricComparison } from '../evaluate/compare.ts';
import { evaluateModel } from '../evaluate/evaluate.ts';
import { FORGETTING } from '../evaluate/forgetting.ts';
import type { ItemValue } from '../evaluate/metrics/aggregations.ts';
import { AnsweringModel } from '../evaluate/model/answering-model.ts';
import { readSplit } from '../evaluate/tasks/data-files.node.ts';
import { type SelectedTasks, selectTasks } from '../evaluate/tasks/select.node.ts';
import type { Decoder } from '../generation/decoder.ts';
import { OptionError } from '../options.ts';
import type { Engine } from '../runtime/engine.ts';
import { CurrentDecoder } from '../training/current-decoder.ts';
import type { Learner } from '../training/learner.ts';
import type { TaskScores, TasksEvent } from '../training/runs/events.ts';
import type { BaseModel } from './model.node.ts';
import type { FinetuneSettings } from './settings.ts';

type TaskOptions = Pick<
  FinetuneSettings,
  'evaluate' | 'evaluateData' | 'evaluateLimit' | 'bestBy' | 'validation'
>;

/** Bootstrap samples of standard errors while training; the comparison at the end has intervals of its own. */
const BOOTSTRAP = 1000;

/**
 * Evaluates tasks with the weights as they are at the moment: those that are asked for, and the built-in check of what
 * training costs elsewhere.
 */
export class TaskScoring {
  #decoder: CurrentDecoder | undefined;
  readonly #selected: SelectedTasks;
  readonly #places: ReadonlyMap<string, string>;
  readonly #limit: number | undefined;
  /** The score of the tasks' results where one of their metrics decides which weights are the best; less is better. */
  readonly scoreOf: ((tasks: readonly TaskScores[]) => number) | undefined;

  private constructor(
    selected: SelectedTasks,
    places: ReadonlyMap<string, string>,
    limit: number | undefined,
    scoreOf: TaskScoring['scoreOf'],
  ) {
    this.scoreOf = scoreOf;
    this.#selected = selected;
    this.#places = places;
    this.#limit = limit;
  }

  /** @throws RopewalkError for tasks that cannot be evaluated, before anything is trained; undefined where there are none. */
  static async open({
    evaluate,
    evaluateData = [],
    evaluateLimit,
    bestBy,
    validation,
  }: TaskOptions): Promise<TaskScoring | undefined> {
    if (!evaluate?.length) {
      const idle = evaluateData.length > 0 ? 'evaluateData' : bestBy === undefined ? undefined : 'bestBy';
      if (idle)
        throw new OptionError(
          idle,
          said`there are no tasks to evaluate; name some with ${named('evaluate')}.`,
        );
      return undefined;
    }
    const places = new Map(
      evaluateData.map((text) => {
        const at = text.indexOf('=');
        if (at < 1) throw new OptionError('evaluateData', `give NAME=PATH, not ${JSON.stringify(text)}.`);
        return [text.slice(0, at), text.slice(at + 1)] as const;
      }),
    );
    const selected = await selectTasks([...new Set([...evaluate, FORGETTING])]);
    for (const config of selected.tasks) {
      const { test, validation } = config.splits;
      await readSplit(config, (test ?? validation)!, places);
    }
    if (bestBy !== undefined && !(validation > 0)) {
      throw new OptionError(
        'bestBy',
        said`${named('validation')} is 0, so the weights are not evaluated while they are trained; hold some data out.`,
      );
    }
    const scoreOf = bestBy === undefined ? undefined : scoreBy(bestBy, selected);
    return new TaskScoring(selected, places, evaluateLimit, scoreOf);
  }

  async scores(engine: Engine, learner: Learner, base: BaseModel): Promise<TaskScores[]> {
    this.#decoder ??= new CurrentDecoder(engine, learner);
    return this.#decoder.use((decoder) => this.#scores(decoder, base));
  }

  async #scores(decoder: Decoder, base: BaseModel): Promise<TaskScores[]> {
    const { tokenizer, template, stopTokens } = base;
    const model = new AnsweringModel({
      ...{ decoder, tokenizer, template, stopTokens, sampling: {} },
    });
    const { tasks } = await evaluateModel(
      base.name,
      model,
      this.#selected,
      (config) => (split) => readSplit(config, split, this.#places),
      { limit: this.#limit, bootstrap: BOOTSTRAP, pause: () => setImmediate() },
    );
    return tasks.map(({ result, values }) => ({
      ...{ task: result.task, items: result.items, metrics: result.metrics },
      details: Object.fromEntries(values),
    }));
  }

  async release(): Promise<void> {
    await this.#decoder?.release();
  }
}

/**
 * @param wanted `task/metric`, or `task/metric,filter` where a task has several pipelines of filters.
 * @throws OptionError naming the metrics that there are.
 */
function scoreBy(wanted: string, { tasks }: SelectedTasks): (tasks: readonly TaskScores[]) => number {
  const all = tasks.flatMap(({ name, metrics, pipelines }) =>
    metrics.flatMap((metric) =>
      pipelines.map((pipeline) => ({ task: name, ...metric, metric: metric.name, filter: pipeline.name })),
    ),
  );
  const nameOf = ({ task, metric, filter }: (typeof all)[number]) =>
    `${task}/${metric}${all.filter((one) => one.task === task && one.metric === metric).length > 1 ? `,${filter}` : ''}`;
  const chosen = all.find((one) => nameOf(one) === wanted);
  if (!chosen) {
    throw new OptionError(
      'bestBy',
      `there is no metric "${wanted}" among these tasks; name one of: ${all.map(nameOf).join('; ')}.`,
    );
  }
  return (scores) => {
    const { metrics } = scores.find(({ task }) => task === chosen.task)!;
    const { value } = metrics.find(
      ({ metric, filter }) => metric === chosen.metric && filter === chosen.filter,
    )!;
    // A perplexity may overflow.
    if (!Number.isFinite(value)) return Number.MAX_VALUE;
    return chosen.higherIsBetter ? -value : value;
  };
}

/** The first evaluation of the tasks beside that of the result, item by item; nothing where one is missing. */
export function compareTaskScores(events: readonly TasksEvent[], resultStep: number): MetricComparison[] {
  const before = events.find(({ step }) => step === 0);
  const after = events.findLast(({ step }) => step === resultStep);
  if (!before || !after) return [];
  return compareEvaluations(before.tasks.map(asCompared), after.tasks.map(asCompared));
}

function asCompared({ task, items, metrics, details }: TaskScores): ComparedTask {
  const values = new Map(Object.entries(details as Record<string, ItemValue[]>));
  return { result: { task, items, metrics: metrics as ComparedTask['result']['metrics'] }, values };
}
