import { createInterface } from 'node:readline/promises';
import pc from 'picocolors';
import { RopewalkError } from '../../errors.ts';
import { type GgufFile, readableSize, SeveralFilesError } from '../../hub/choose.ts';
import { idOfFile } from '../../hub/settings.node.ts';
import { INTERRUPTED } from './interrupt.ts';
import { printable } from './printable.ts';

/** Where a question is asked and answered; by default the terminal, with the question on stderr. */
export interface Asking {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

/**
 * Opens a model from the hub; if its repository has several GGUF files and none is named, asks the user at a terminal.
 * Without a terminal, the error lists them.
 *
 * @param open called with the id, and again with the id of one file.
 */
export async function askingForFile<T>(
  id: string,
  open: (id: string) => Promise<T>,
  { input, output }: Asking = { input: process.stdin, output: process.stderr },
): Promise<T> {
  try {
    return await open(id);
  } catch (error) {
    if (!(error instanceof SeveralFilesError) || !input.isTTY || !output.isTTY) throw error;
    const file = await ask(error.files, { input, output });
    return open(idOfFile(id, file.path));
  }
}

async function ask(files: readonly GgufFile[], { input, output }: Asking): Promise<GgufFile> {
  const width = Math.max(...files.map(({ path }) => path.length));
  for (const [i, { path, size }] of files.entries()) {
    const number = String(i + 1).padStart(String(files.length).length);
    const shown = size === undefined ? '' : pc.dim(readableSize(size).padStart(9));
    output.write(`${pc.bold(number)}  ${printable(path).padEnd(width)}  ${shown}\n`);
  }
  const lines = createInterface({ input, output, terminal: true });
  // Ctrl-C or the end of the input.
  const ended = new Promise<undefined>((resolve) => {
    lines.once('SIGINT', () => process.exit(INTERRUPTED));
    lines.once('close', () => resolve(undefined));
  });
  try {
    for (;;) {
      const answer = await Promise.race([lines.question(`Which file? 1-${files.length}: `), ended]);
      if (answer === undefined) throw new RopewalkError('no file was chosen; nothing was downloaded');
      const chosen = files[Number(answer.trim()) - 1] ?? files.find(({ path }) => path === answer.trim());
      if (chosen) return chosen;
    }
  } finally {
    lines.close();
  }
}
