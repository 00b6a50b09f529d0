import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import { RopewalkError } from '../errors.ts';
import * as chat from './chat.ts';
import * as compare from './compare.ts';
import * as exportCommand from './export.ts';
import * as generate from './generate.ts';
import * as inspect from './inspect.ts';
import { printable } from './printable.ts';
import * as pull from './pull.ts';
import * as quantize from './quantize.ts';
import * as score from './score.ts';
import * as start from './start.ts';
import * as tokenizer from './tokenizer.ts';
import * as train from './train.ts';

/**
 * The command line. Results go to stdout, progress and errors to stderr.
 *
 * @param argv as in process.argv.
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

ropewalk <command> --help says more.`,
    )
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  for (const command of [
    start,
    compare,
    inspect,
    train,
    generate,
    chat,
    score,
    exportCommand,
    pull,
    quantize,
    tokenizer,
  ])
    command.register(program);
  // A closed pipe (ropewalk … | head) is the reader's wish, not an error.
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

function report(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    if (error.code !== 'commander.help') complain(error.message.replace(/^error: /, ''));
    return error.exitCode;
  }
  if (error instanceof RopewalkError) {
    complain(error.message);
    return 1;
  }
  process.stderr.write(
    `${pc.red('ropewalk failed:')} ${printable(error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`,
  );
  return 70;
}

/** One line, whatever a file's name or a user's argument holds. */
function complain(message: string): void {
  process.stderr.write(`${pc.red('ropewalk:')} ${printable(message.replaceAll(/\s*\n\s*/g, ' '))}\n`);
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
