import { kebab } from '../../options.ts';
import type { RatePoint } from '../../training/find-rate.ts';
import type { RunEvent } from '../../training/runs/events.ts';
import type { RanksPlan, RunPlan } from '../../training/runs/plan.ts';
import type { EvaluationEvent } from '../../training/train-event.ts';
import { printable } from './printable.ts';
import { duration, type Progress } from './progress.ts';
import { showWarnings } from './warnings.ts';

const BARS = '▁▂▃▄▅▆▇█';

/** Numbers as a row of bars from lowest to highest; at most `width` of them, each a mean. */
function sparkline(values: readonly number[], width = 24): string {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return '';
  const size = Math.ceil(finite.length / width);
  const means = Array.from({ length: Math.ceil(finite.length / size) }, (_, i) => {
    const part = finite.slice(i * size, (i + 1) * size);
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const [low, high] = [Math.min(...means), Math.max(...means)];
  const bar = (value: number) => BARS[high === low ? 0 : Math.round((7 * (value - low)) / (high - low))]!;
  return means.map(bar).join('');
}

const whole = (value: number) => Math.round(value).toLocaleString('en');
const gigabytes = (bytes: number) =>
  bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
const percent = (share: number) => `${Math.round(100 * share)} %`;

/** The parts of the memory: of the device, if there is one, else of this machine. */
function memoryRows({ device, ...host }: RunPlan['memory']): [string, string][] {
  const parts = device ?? host;
  const rows: [string, string][] = [
    ['weights', gigabytes(parts.weights)],
    ...(host.teacher === undefined ? [] : ([['teacher', gigabytes(host.teacher)]] as [string, string][])),
    ['gradients', gigabytes(parts.gradients)],
    ['optimizer', gigabytes(parts.optimizer)],
    ['activations', `${gigabytes(parts.activations)} (estimated from the graphs' shapes)`],
  ];
  if (!device) return rows;
  return [
    ...rows,
    ['added gradients', gigabytes(device.added)],
    ['running graphs', `${gigabytes(device.scratch)} (estimated)`],
    ...(device.precision === 'float16'
      ? ([['precision', 'products in float16; each pass casts its weights, and keeps no copy']] as [
          string,
          string,
        ][])
      : []),
    ['device memory', `${gigabytes(device.total)}, all of the above`],
    ['weights, read', `${gigabytes(host.weights)} of this machine's memory, while they are read or made`],
  ];
}

/** A plan as readable lines. */
export function planText(plan: RunPlan): string {
  const { data, memory, machine, secondsPerStep } = plan;
  const frozen = plan.parameters - plan.trainedParameters;
  const rows: [string, string][] = [
    [
      'parameters',
      `${whole(plan.trainedParameters)} trained${frozen > 0 ? `, ${whole(frozen)} frozen` : ''}`,
    ],
    ...(data.examples === undefined
      ? ([['tokens held out', whole(data.validationTokens ?? 0)]] as [string, string][])
      : ([['examples', `${whole(data.examples)}, and ${whole(data.validationExamples ?? 0)} held out`]] as [
          string,
          string,
        ][])),
    ['tokens per epoch', `${whole(data.tokens)}, ${whole(data.trainedTokens)} of them trained`],
    [
      'steps',
      `${whole(plan.steps)} of ${whole(plan.tokensPerStep)} tokens (${plan.epochs.toFixed(2)} epochs)`,
    ],
    ['settings', settingsText(plan.settings)],
    ...memoryRows(memory),
    ['program', gigabytes(memory.program)],
    [
      'total memory',
      `${gigabytes(memory.total)} of ${gigabytes(machine.availableMemory)} available (machine: ${gigabytes(machine.totalMemory)})`,
    ],
    ...(plan.ranks ? ranksRows(plan.ranks) : []),
    ...(secondsPerStep === undefined
      ? []
      : ([
          [
            'time',
            `${duration(secondsPerStep * plan.steps)} (${secondsPerStep.toFixed(2)} s per step, measured${plan.ranks?.network ? ' and computed' : ''})`,
          ],
        ] as [string, string][])),
  ];
  return rows.map(([name, value]) => `${name.padEnd(17)} ${value}`).join('\n');
}

function ranksRows({
  count,
  bytes,
  network,
  secondsCommunicating,
  efficiency,
}: RanksPlan): [string, string][] {
  const rows: [string, string][] = [
    ['ranks', `${count}: memory is that of each`],
    ['sent', `${gigabytes(bytes)} by each rank in a step`],
  ];
  if (!network || secondsCommunicating === undefined || efficiency === undefined) return rows;
  const link = `${(network.bandwidth / 1e9).toLocaleString('en')} Gb/s and ${(network.latency * 1e6).toLocaleString('en')} µs`;
  return [
    ...rows,
    ['communication', `${secondsCommunicating.toFixed(2)} s per step at ${link} (computed)`],
    ['efficiency', `${percent(efficiency)} of ${count} times one rank's speed (computed)`],
  ];
}

/** Settings as flags and configuration files spell them, in the order of help, without empty lists. */
function settingsText(settings: object): string {
  const said = Object.entries(settings).filter(([, value]) => !(Array.isArray(value) && value.length === 0));
  const words = said.map(([name, value]) => oneLine(`${kebab(name)} ${[value].flat().join(' ')}`));
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < 90) lines[lines.length - 1] = `${last}, ${word}`;
    else lines.push(word);
  }
  return lines.join(`,\n${' '.repeat(18)}`);
}

/** Rates and losses with the suggestion. */
export function ratesText(points: readonly RatePoint[], suggested: number | undefined): string {
  const every = Math.max(1, Math.floor(points.length / 12));
  const rows = points
    .filter((_, i) => i % every === 0 || i === points.length - 1)
    .map(({ learningRate, smoothed }) => `${learningRate.toExponential(2)}  ${smoothed.toFixed(4)}`);
  const curve = sparkline(
    points.map(({ smoothed }) => smoothed),
    48,
  );
  const end =
    suggested === undefined
      ? 'the loss never fell: check the data, or start at a lower rate.'
      : `the loss falls fastest at ${suggested.toExponential(1)}: try --lr ${suggested.toExponential(1)}`;
  return `rate      loss\n${rows.join('\n')}\n${curve}\n${end}`;
}

/** Shows the progress of a run. */
export class RunView {
  readonly #losses: number[] = [];
  #steps = 0;

  readonly #progress: Progress;

  constructor(progress: Progress) {
    this.#progress = progress;
  }

  show(event: RunEvent): void {
    const progress = this.#progress;
    switch (event.type) {
      case 'warning':
        showWarnings([event.message], progress);
        break;
      case 'plan':
        this.#steps = event.plan.steps;
        progress.note(planText(event.plan));
        break;
      case 'resumed':
        progress.note(`resumed at step ${event.step}`);
        for (const change of event.changes) progress.note(change);
        break;
      case 'step': {
        const { step, loss, tokensPerSecond, engineShare, secondsLeft, skipped, overflowed } = event;
        if (Number.isFinite(loss)) this.#losses.push(loss);
        if (skipped !== undefined) {
          progress.note(
            `step ${step}: skipped, its loss ${loss.toFixed(3)} is ${skipped.toFixed(1)} standard deviations above recent ones`,
          );
        }
        if (overflowed !== undefined) {
          progress.note(
            `step ${step}: skipped, its gradients were not finite in float16 with a loss scale of ${overflowed}; the next step has half of it`,
          );
        }
        const limit = engineShare === undefined ? '' : `, ${percent(engineShare)} of the engine's limit`;
        const speed = `${whole(tokensPerSecond)} trained tokens/s${limit}`;
        const text = `step ${step}/${this.#steps}  loss ${loss.toFixed(3)} ${sparkline(this.#losses)}  ${speed}  ${duration(secondsLeft)} left`;
        progress.update('training', step, this.#steps, text);
        break;
      }
      case 'evaluation':
        progress.note(
          `step ${event.step}: held-out loss ${event.loss.toFixed(4)}, perplexity ${event.perplexity.toFixed(2)}${standing(event)}`,
        );
        break;
      case 'samples':
        for (const { prompt, text } of event.samples) {
          progress.note(`step ${event.step}: ${oneLine(prompt)} → ${oneLine(text)}`);
        }
        break;
      case 'tasks':
        for (const { task, metrics } of event.tasks) {
          const shown = metrics.map(({ metric, filter, value, standardError }) => {
            const error = standardError === null ? '' : ` ± ${standardError.toFixed(4)}`;
            return `${filter === 'none' ? metric : `${metric} (${filter})`} ${value.toFixed(4)}${error}`;
          });
          progress.note(`step ${event.step}: ${task}: ${shown.join(', ')}`);
        }
        break;
      case 'stopped':
        progress.note(`stopped early: no weights have been better than those of step ${event.best.step}`);
        break;
      case 'checkpoint':
      case 'finished':
    }
  }
}

/** How an evaluation compares with earlier ones. */
function standing({ step, loss, best, bestTrained, base, score }: EvaluationEvent): string {
  if (score !== undefined) return bestTrained ? ', the best weights so far' : '';
  if (best) return ', the lowest so far';
  if (step === 0 || base === null || loss <= base) return '';
  return `${bestTrained ? ', the lowest since training began, but' : ','} higher than the ${base.toFixed(4)} before it`;
}

/** A sentence if training made the model worse on the held-out data; otherwise undefined. */
export function worseThanBase(loss: number | undefined, base: number | null | undefined): string | undefined {
  if (loss === undefined || base === undefined || base === null || loss <= base) return undefined;
  return `the result is worse than the model before training: held-out loss ${loss.toFixed(4)}, before ${base.toFixed(4)}; lower the learning rate, or train for fewer steps`;
}

function oneLine(text: string): string {
  return printable(text.replaceAll(/\s+/g, ' ').trim());
}
