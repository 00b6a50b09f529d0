import type { Command } from 'commander';
import { openTeacher } from '../../distillation/open-teacher.node.ts';
import { DISTILL } from '../../distillation/settings.ts';
import { type TeachEvent, teach } from '../../distillation/teach.node.ts';
import { count, OptionError, oneOf, option, text } from '../../options.ts';
import type { Communicator } from '../../ranks/communicator.ts';
import { engineFor } from '../../training/runs/engine.node.ts';
import { addFlags, readOptions, spelling } from '../options/flags.ts';
import { modelPath } from '../options/resolve.ts';
import {
  checkDataOptions,
  readTeachingText,
  rowShape,
  TEACHING_DEFAULTS,
  teachingShape,
} from '../options/teaching-data.ts';
import { IF_ONE_IS_LOST, together, withRanks } from '../runs/ranks.ts';
import { engineOptions } from '../runs/run-command.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { duration, Progress } from '../terminal/progress.ts';
import { printResult } from '../terminal/silence.ts';
import { showWarnings } from '../terminal/warnings.ts';

const shape = {
  out: option(text, 'file for the probabilities; an interrupted one is resumed', { value: 'file' }),
  ...teachingShape,
  ...rowShape,
  k: option(count, 'probabilities to keep per token', { value: 'n' }),
  method: option(oneOf(['largest', 'sampled']), 'keep the largest, or sample from the distribution', {
    value: 'how',
  }),
  temperature: DISTILL.own.temperature,
  ...engineOptions,
};
const { batch, seq, seed, validation, temperature } = DISTILL.defaults;
const defaults = {
  ...TEACHING_DEFAULTS,
  ...{ batch, seq, seed, validation, temperature, k: 64, method: 'sampled' as const },
};

export function register(program: Command): void {
  const command = program
    .command('teach')
    .description('Save the probabilities of a model for each token of a text, for students to learn from.')
    .argument('<teacher>', 'a Hugging Face model directory, a GGUF file, or an id on the hub');
  addFlags(command, shape, defaults)
    .option('--json', 'print the result as JSON on stdout')
    .addHelpText(
      'after',
      `
The file also contains the text and its held-out part: "distill --taught" needs nothing else. It takes 4 bytes for each
probability, 5 if the vocabulary has more than 65,536 entries.

Examples:
  ropewalk teach runs/large --text stories.txt --out stories.taught
  ropewalk distill --taught stories.taught --teacher runs/large --student llama/tiny --out runs/small`,
    )
    .action(async (name: string) => {
      const { values, spell } = await readOptions(command, shape, undefined);
      const { json } = command.opts<{ json?: boolean }>();
      await spelling(spell, () => withRanks((ranks) => run(name, values, json, ranks)));
    });
}

async function run(
  name: string,
  values: Awaited<ReturnType<typeof readOptions<typeof shape>>>['values'],
  json = false,
  ranks: Communicator | undefined,
): Promise<void> {
  checkDataOptions(Object.keys(values));
  const flags = { ...defaults, ...values };
  const { out } = flags;
  if (out === undefined) throw new OptionError('out', 'it is missing: give a file to write.');
  const progress = new Progress();
  const teacher = await together(ranks, async () => openTeacher(await modelPath(name)));
  const { warnings } = teacher.opened;
  showWarnings(warnings, progress);
  let isTeaching = false;
  const { signal, dispose } = interruptSignal(() => {
    if (isTeaching) progress.note('stopping after this batch …');
  });
  let result: TeachEvent | undefined;
  const started = performance.now();
  try {
    const text = await together(ranks, () =>
      readTeachingText(flags, teacher.tokenizer, { progress, signal }),
    );
    isTeaching = true;
    if (ranks) progress.note(`${ranks.size} processes share the rows. ${IF_ONE_IS_LOST}.`);
    try {
      const { shape: rowsOf, ...data } = text.rows;
      const { k, method, temperature, seed } = flags;
      const { device, precision, threads } = flags;
      const engine = engineFor({ device, precision, threads, ranks });
      const named = { ...teacher, name };
      const options = { teacher: named, data, shape: rowsOf, k, method, temperature, seed, out, ranks };
      for await (const event of teach(engine, options, signal)) {
        if (event.type === 'resumed') progress.note(`resumed after row ${event.rows}`);
        if (event.type === 'progress') {
          const { rows, of, tokensPerSecond, secondsLeft } = event;
          const speed = `${Math.round(tokensPerSecond).toLocaleString('en')} tokens/s`;
          progress.update('teaching', rows, of, `${speed}  ${duration(secondsLeft)} left`);
        }
        result = event;
      }
    } finally {
      await text.close();
    }
  } finally {
    progress.end();
    dispose();
    await teacher.close();
  }
  const seconds = (performance.now() - started) / 1000;
  if (result?.type === 'finished') {
    const { rows, bytes, covered } = result;
    progress.note(
      `${out}: ${rows.toLocaleString('en')} rows of ${flags.seq} tokens, ${(bytes / 1e6).toFixed(1)} MB; ` +
        `the kept entries cover ${(100 * covered).toFixed(1)} % of the probability`,
    );
    if (json) printResult(`${JSON.stringify({ out, seconds, ...result, warnings })}\n`);
  } else {
    progress.note('interrupted; resume with the same command');
    process.exitCode = INTERRUPTED;
  }
}
