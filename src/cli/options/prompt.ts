import { readFile } from 'node:fs/promises';
import { RopewalkError } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';

/** The source of a prompt. */
export interface PromptFlags {
  readonly prompt?: string;
  readonly promptFile?: string;
  readonly ids?: number[];
}

/** The file name that means standard input. */
const STANDARD_INPUT = '-';

/**
 * The prompt that the flags specify; undefined if they give ids. Text from a file or standard input must be UTF-8; a
 * byte order mark and the final line break are removed.
 *
 * @throws RopewalkError unless exactly one of the flags is given, and for input that cannot be read or is not UTF-8.
 */
export async function readPrompt({ prompt, promptFile, ids }: PromptFlags): Promise<string | undefined> {
  if ([prompt, promptFile, ids].filter((value) => value !== undefined).length !== 1) {
    throw new RopewalkError('use one of --prompt TEXT, --prompt-file FILE, --ids 1,2,3 and --prompts FILE.');
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
    // The decoder removes a byte order mark.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '');
  } catch (error) {
    throw new RopewalkError(
      `${source} is not UTF-8; convert it (Korean files are often CP949): iconv -f CP949 -t UTF-8`,
      { cause: error },
    );
  }
}
