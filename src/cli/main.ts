import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import { messageText, RopewalkError } from '../errors.ts';
import { launchedRanks } from '../ranks/environment.node.ts';
import { asFlag, speakAs } from './options/spelling.ts';
import { packageVersion } from './package-file.ts';
import { INTERRUPTED, isInterruption } from './terminal/interrupt.ts';
import { printable } from './terminal/printable.ts';

interface CommandModule {
  register(program: Command): void;
}

/**
 * The commands in the order of the help text, with their modules. Only the requested one is loaded, since loading all
 * of them takes longer than a short command.
 */
const COMMANDS: readonly { readonly names: readonly string[]; read(): Promise<CommandModule> }[] = [
  { names: ['start'], read: () => import('./commands/start.ts') },
  { names: ['compare'], read: () => import('./commands/compare.ts') },
  { names: ['inspect', 'diff'], read: () => import('./commands/inspect.ts') },
  { names: ['train'], read: () => import('./commands/train.ts') },
  { names: ['data'], read: () => import('./commands/data.ts') },
  { names: ['finetune'], read: () => import('./commands/finetune.ts') },
  { names: ['teach'], read: () => import('./commands/teach.ts') },
  { names: ['distill'], read: () => import('./commands/distill.ts') },
  { names: ['generate'], read: () => import('./commands/generate.ts') },
  { names: ['chat'], read: () => import('./commands/chat.ts') },
  { names: ['serve'], read: () => import('./commands/serve.ts') },
  { names: ['score'], read: () => import('./commands/score.ts') },
  { names: ['evaluate'], read: () => import('./commands/evaluate.ts') },
  { names: ['export'], read: () => import('./commands/export.ts') },
  { names: ['pull'], read: () => import('./commands/pull.ts') },
  { names: ['cache'], read: () => import('./commands/cache.ts') },
  { names: ['quantize'], read: () => import('./commands/quantize.ts') },
  { names: ['tokenizer'], read: () => import('./commands/tokenizer.ts') },
  { names: ['ablate'], read: () => import('./commands/ablate.ts') },
  { names: ['estimate'], read: () => import('./commands/estimate.ts') },
  { names: ['explore'], read: () => import('./commands/explore.ts') },
  { names: ['doctor'], read: () => import('./commands/doctor.ts') },
];

/** The commands that an argument names; all of them if it names none, for help and suggestions. */
async function commandsFor(argument: string | undefined): Promise<CommandModule[]> {
  if (argument === '--version' || argument === '-V') return [];
  const named = COMMANDS.filter(({ names }) => names.includes(argument ?? ''));
  return Promise.all((named.length > 0 ? named : COMMANDS).map(({ read }) => read()));
}

/**
 * The command line. Results go to stdout, progress and errors to stderr.
 *
 * @param argv like process.argv.
 * @returns the exit code.
 */
export async function main(argv: readonly string[]): Promise<number> {
  const program = new Command('ropewalk')
    .description('Decoder-only language models in TypeScript: GPT, Gemma, Gemma 2 and Llama 3.')
    .version(packageVersion())
    .addHelpText(
      'after',
      `
Examples:
  ropewalk train --family llama --text book.txt --out runs/llama
  ropewalk generate runs/llama --prompt "Call me" --max-tokens 60
  ropewalk score runs/llama --text held-out.txt --json

Run ropewalk <command> --help for the options of a command.`,
    )
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  program.hook('preAction', (_, command) => {
    speakAs(command);
    checkRanks(command.name());
  });
  for (const command of await commandsFor(argv[2])) command.register(program);
  // A closed pipe (ropewalk … | head) is not an error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  try {
    await program.parseAsync(argv);
    return typeof process.exitCode === 'number' ? process.exitCode : 0;
  } catch (error) {
    return report(error);
  }
}

/** Commands that several processes can run together. */
const PARALLEL: readonly string[] = [
  'train',
  'finetune',
  'distill',
  'teach',
  'generate',
  'score',
  'evaluate',
];

/** @throws RopewalkError for a command that every process of an MPI job would repeat. */
function checkRanks(command: string): void {
  const launched = launchedRanks();
  if (!launched || PARALLEL.includes(command)) return;
  throw new RopewalkError(
    `${command} runs in one process, but ${launched.launcher} started ${launched.size}; start it alone. ${PARALLEL.join(', ')} run in several.`,
  );
}

function report(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    if (error.code !== 'commander.help') complain(error.message.replace(/^error: /, ''));
    return error.exitCode;
  }
  if (error instanceof RopewalkError) {
    complain(messageText(error.parts, asFlag));
    return 1;
  }
  if (isInterruption(error)) {
    process.stderr.write('interrupted\n');
    return INTERRUPTED;
  }
  process.stderr.write(
    `${pc.red('ropewalk failed:')} ${printable(error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`,
  );
  return 70;
}

/** Prints one line, whatever a file name or an argument contains. */
function complain(message: string): void {
  process.stderr.write(`${pc.red('ropewalk:')} ${printable(message.replaceAll(/\s*\n\s*/g, ' '))}\n`);
}
