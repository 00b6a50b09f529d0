import { join } from 'node:path';
import type { Command } from 'commander';
import { RopewalkError } from '../../errors.ts';
import { familyByName } from '../../families/registry.ts';
import type { Locale } from '../../inspect/labels.ts';
import { type JobEvent, REPORT_FILE, runMainJob } from '../../start/job.node.ts';
import { jobSettings } from '../../start/settings.ts';
import { count } from '../options/options.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { localeOption } from '../terminal/locale.ts';
import { forOutput } from '../terminal/printable.ts';
import { duration, Progress } from '../terminal/progress.ts';
import { resultTables } from '../terminal/result-table.ts';

/** Where `ropewalk explore` looks for models. */
const USUAL_FOLDER = join('ropewalk-runs', 'start');

interface StartFlags {
  out: string;
  locale: Locale;
  steps?: number;
  families?: readonly string[];
  threads: number;
  fresh?: boolean;
}

export function register(program: Command): void {
  program
    .command('start')
    .description(
      'Run the main job: train four families on a novel, compare and measure them, write an HTML report.',
    )
    .option('--out <dir>', 'folder of the job; an existing job is resumed', USUAL_FOLDER)
    .addOption(localeOption())
    .option('--steps <n>', 'optimizer steps for each family', count)
    .option('--families <names>', 'families to train instead of the four, such as gpt,qwen3', familyList)
    .option('--threads <n>', 'threads of the engine', count, 2)
    .option('--fresh', 'start over: first removes the results of this job in --out')
    .addHelpText(
      'after',
      `
Examples:
  ropewalk start
  ropewalk start --locale ko
  ropewalk start --families gpt,gemma3,qwen3,exaone4
  ropewalk start --steps 100 --out ropewalk-runs/quick`,
    )
    .action(start);
}

/** Comma-separated names, each a different family. */
function familyList(text: string): readonly string[] {
  const names = text.split(',').map((name) => familyByName(name.trim()).name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new RopewalkError(`"${twice}" is named twice; name each family once.`);
  return names;
}

async function start({ out, locale, steps, families, threads, fresh }: StartFlags): Promise<void> {
  const progress = new Progress();
  const texts = messages[locale];
  const { signal, dispose } = interruptSignal(() => progress.note(texts.stopping));
  const started = performance.now();
  let trained = false;
  const onEvent = (event: JobEvent) => {
    if (event.type === 'step') trained = true;
    show(event, progress, texts);
  };
  try {
    const results = await runMainJob({
      out,
      threads,
      signal,
      onEvent,
      settings: jobSettings(steps, families),
      locale,
      ...(fresh && { fresh }),
    });
    progress.end();
    if (!results) {
      progress.note(texts.interrupted);
      process.exitCode = INTERRUPTED;
      return;
    }
    for (const { title, sample } of results.families) {
      process.stdout.write(`\n${title}: ${results.settings.sample.prompt}${forOutput(sample)}\n`);
    }
    process.stdout.write(`\n${forOutput(resultTables(results, locale, process.stdout.columns ?? 120))}\n`);
    const seconds = (performance.now() - started) / 1000;
    progress.note(trained ? texts.finished(duration(seconds)) : texts.stored);
    process.stdout.write(`${texts.report}: ${join(out, REPORT_FILE)}\n`);
    const folder = out === USUAL_FOLDER ? '' : ` ${/^[\w./-]+$/.test(out) ? out : JSON.stringify(out)}`;
    process.stdout.write(`${texts.explore}: npx ropewalk explore${folder}\n`);
  } finally {
    dispose();
  }
}

function show(event: JobEvent, progress: Progress, texts: Messages): void {
  const whole = (value: number) => Math.round(value).toLocaleString('en');
  if (event.type === 'work') progress.update(texts[event.what], event.done, event.total, '');
  if (event.type === 'corpus') {
    const { title, tokens, validationTokens, unigramLoss, bigramLoss } = event.corpus;
    progress.end();
    progress.note(texts.corpus(title, whole(tokens), whole(validationTokens)));
    progress.note(texts.baselines(unigramLoss.toFixed(3), bigramLoss.toFixed(3)));
  }
  if (event.type === 'resumed') progress.note(texts.resumed(event.title, event.step));
  if (event.type === 'step') {
    const { title, step, loss, tokensPerSecond, done, total, secondsLeft } = event;
    const label = title.padEnd(7);
    progress.update(
      label,
      done,
      total,
      texts.step(step, loss.toFixed(3), whole(tokensPerSecond), duration(secondsLeft)),
    );
  }
  if (event.type === 'family') {
    const { title, validationLoss, trainTokensPerSecond, parameters } = event.result;
    progress.note(
      texts.family(title, whole(parameters), validationLoss.toFixed(3), whole(trainTokensPerSecond)),
    );
  }
}

interface Messages {
  readonly tokenizer: string;
  readonly encoding: string;
  readonly measuring: string;
  readonly stopping: string;
  readonly interrupted: string;
  readonly stored: string;
  readonly report: string;
  readonly explore: string;
  finished(time: string): string;
  corpus(title: string, tokens: string, heldOut: string): string;
  baselines(unigram: string, bigram: string): string;
  resumed(title: string, step: number): string;
  step(step: number, loss: string, speed: string, left: string): string;
  family(title: string, parameters: string, loss: string, speed: string): string;
}

const messages: Readonly<Record<Locale, Messages>> = {
  en: {
    tokenizer: 'tokenizer',
    encoding: 'encoding',
    measuring: 'measuring',
    stopping: 'stopping after this step; a checkpoint will be saved …',
    interrupted: 'interrupted; the same command resumes',
    stored: 'stored results of a finished job; --fresh starts over',
    report: 'Report',
    explore: 'See the difference in the browser',
    finished: (time) => `finished in ${time}`,
    corpus: (title, tokens, heldOut) => `${title}: ${tokens} tokens, the last ${heldOut} held out`,
    baselines: (unigram, bigram) => `held-out loss to beat: unigram ${unigram}, bigram ${bigram}`,
    resumed: (title, step) => `${title}: resuming after step ${step}`,
    step: (step, loss, speed, left) => `step ${step}  loss ${loss}  ${speed} tokens/s  ${left} left`,
    family: (title, parameters, loss, speed) =>
      `${title}: ${parameters} parameters, held-out loss ${loss}, ${speed} tokens/s in training`,
  },
  ko: {
    tokenizer: '토크나이저',
    encoding: '인코딩',
    measuring: '측정',
    stopping: '이 단계를 마치면 체크포인트를 저장하고 멈춥니다 …',
    interrupted: '중단되었습니다. 같은 명령을 다시 실행하면 여기서 이어집니다',
    stored: '이미 끝난 작업의 저장된 결과입니다. 새로 시작하려면 --fresh를 쓰세요',
    report: '보고서',
    explore: '브라우저에서 차이를 직접 보기',
    finished: (time) => `${time} 만에 끝났습니다`,
    corpus: (title, tokens, heldOut) => `${title}: 토큰 ${tokens}개, 마지막 ${heldOut}개는 검증용`,
    baselines: (unigram, bigram) => `넘어야 할 검증 손실: 유니그램 ${unigram}, 바이그램 ${bigram}`,
    resumed: (title, step) => `${title}: ${step}단계 다음부터 이어서 학습합니다`,
    step: (step, loss, speed, left) => `${step}단계  손실 ${loss}  초당 ${speed}토큰  ${left} 남음`,
    family: (title, parameters, loss, speed) =>
      `${title}: 파라미터 ${parameters}개, 검증 손실 ${loss}, 학습 속도 초당 ${speed}토큰`,
  },
};
