import { readFile } from 'node:fs/promises';
import { RopewalkError } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';

/** Where a prompt comes from. */
export interface PromptFlags {
  readonly prompt?: string;
  readonly promptFile?: string;
  readonly ids?: number[];
}

/** The name that stands for standard input. */
const STANDARD_INPUT = '-';

/**
 * The text that the flags name; undefined where they give ids. From a file or standard input the text is strict UTF-8,
 * without a byte order mark and without the line break that ends it.
 *
 * @throws RopewalkError unless exactly one of the flags is given, and for what cannot be read or is not UTF-8.
 */
export async function readPrompt({ prompt, promptFile, ids }: PromptFlags): Promise<string | undefined> {
  if ([prompt, promptFile, ids].filter((value) => value !== undefined).length !== 1) {
    throw new RopewalkError('give one of --prompt TEXT, --prompt-file FILE and --ids 1,2,3.');
  }
  if (ids) return undefined;
  if (prompt === STANDARD_INPUT || promptFile === STANDARD_INPUT)
    return promptText(await readStandardInput(), 'standard input');
  if (promptFile === undefined) return prompt!;
  return promptText(
    await readFile(promptFile).catch((error: unknown) => {
      throw fileError(error, 'read', promptFile);
    }),
    promptFile,
  );
}

async function readStandardInput(): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function promptText(bytes: Uint8Array, source: string): string {
  try {
    // A byte order mark is left out by the decoder.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '');
  } catch (error) {
    throw new RopewalkError(
      `${source} is not UTF-8; convert it (Korean files are often CP949): iconv -f CP949 -t UTF-8`,
      { cause: error },
    );
  }
}
