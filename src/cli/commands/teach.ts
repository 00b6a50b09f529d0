import { type Command, Option } from 'commander';
import { openTeacher } from '../../distillation/open-teacher.node.ts';
import { type TeachEvent, teach } from '../../distillation/teach.node.ts';
import { nodeEngine } from '../../runtime/engine.node.ts';
import { count, positive } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import {
  addDataOptions,
  checkDataOptions,
  type DataFlags,
  readTeachingText,
} from '../options/teaching-data.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { duration, Progress } from '../terminal/progress.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface TeachFlags extends DataFlags {
  k: number;
  method: 'largest' | 'sampled';
  temperature: number;
  out: string;
  threads?: number;
  json?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('teach')
    .description('Write down what a model says about a text, token by token, for students to learn from.')
    .argument('<teacher>', 'a Hugging Face model directory, a GGUF file, or an id on the hub')
    .requiredOption('--out <file>', 'the file of what it says; an interrupted one is gone on with');
  addDataOptions(command)
    .option('--k <n>', 'probabilities kept at each token', count, 64)
    .addOption(
      new Option('--method <how>', 'keep the largest, or draw by the probabilities themselves')
        .choices(['largest', 'sampled'])
        .default('sampled'),
    )
    .option('--temperature <t>', 'of its softmax; students learn at the same', positive, 1)
    .option('--threads <n>', 'threads of the engine', count)
    .option('--json', 'print the result as JSON on stdout')
    .addHelpText(
      'after',
      `
The file holds the text too, also what is held out: "distill --taught" needs nothing else. It takes 4 bytes for each
probability, 5 where the vocabulary has more than 65,536 entries.

Examples:
  ropewalk teach runs/large --text stories.txt --out stories.taught
  ropewalk distill --taught stories.taught --teacher runs/large --student llama/tiny --out runs/small`,
    )
    .action(run);
}

async function run(name: string, flags: TeachFlags, command: Command): Promise<void> {
  checkDataOptions(command);
  const progress = new Progress();
  const teacher = await openTeacher(await modelPath(name));
  const { warnings } = teacher.opened;
  showWarnings(warnings, progress);
  let isTeaching = false;
  const { signal, dispose } = interruptSignal(() => {
    if (isTeaching) progress.note('stopping after this batch …');
  });
  let result: TeachEvent | undefined;
  const started = performance.now();
  try {
    const text = await readTeachingText(flags, teacher.tokenizer, { progress, signal });
    isTeaching = true;
    try {
      const { shape, identity } = text;
      const { k, method, temperature, seed, out } = flags;
      const data = { training: text.training, heldOut: text.heldOut, identity };
      const engine = nodeEngine(flags.threads === undefined ? {} : { threads: flags.threads });
      const named = { ...teacher, name };
      const options = { teacher: named, data, shape, k, method, temperature, seed, out };
      for await (const event of teach(engine, options, signal)) {
        if (event.type === 'resumed') progress.note(`going on after row ${event.rows}`);
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
      `${flags.out}: ${rows.toLocaleString('en')} rows of ${flags.seq} tokens, ${(bytes / 1e6).toFixed(1)} MB; ` +
        `what is kept of a token holds ${(100 * covered).toFixed(1)} % of its probability`,
    );
    if (flags.json)
      process.stdout.write(`${JSON.stringify({ out: flags.out, seconds, ...result, warnings })}\n`);
  } else {
    progress.note('interrupted; go on with the same command');
    process.exitCode = INTERRUPTED;
  }
}
