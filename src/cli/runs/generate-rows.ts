import { type OpenedModel, openModel } from '../../checkpoint/load.node.ts';
import { modelIdentity } from '../../checkpoint/model-identity.node.ts';
import { writeFileAtomic } from '../../files/atomic.node.ts';
import { type OpenedRows, openRows, type PromptRow } from '../../generation/open-rows.node.ts';
import { agree } from '../../ranks/agree.ts';
import type { Communicator } from '../../ranks/communicator.ts';
import {
  checkFlags,
  checkRowFlags,
  type GenerateFlags,
  generationOptions,
} from '../options/generate-flags.ts';
import { promptsHash, readPromptRows } from '../options/prompt-rows.ts';
import { modelPath } from '../options/resolve.ts';
import { INTERRUPTED, interruptSignal, isInterruption } from '../terminal/interrupt.ts';
import { Progress } from '../terminal/progress.ts';
import { printResult } from '../terminal/silence.ts';
import { showWarnings } from '../terminal/warnings.ts';
import { together } from './ranks.ts';

/** Continues many prompts; several ranks share them, and the first one writes. */
export async function generateRows(
  model: string,
  flags: GenerateFlags,
  file: string,
  ranks: Communicator | undefined,
): Promise<void> {
  const { batch, out } = flags;
  const { prompts, opened } = await together(ranks, async () => {
    checkFlags(flags);
    checkRowFlags(flags);
    const prompts = await readPromptRows(file);
    return { prompts, opened: await openModel(await modelPath(model), flags) };
  });
  const progress = new Progress();
  showWarnings(opened.warnings, progress);
  const { signal, dispose } = interruptSignal(() => progress.note('stopping after this run …'));
  let rows: OpenedRows;
  try {
    if (ranks) await agree(ranks, await given(opened, prompts, flags));
    rows = await together(ranks, () =>
      openRows(opened, {
        ...{ ...generationOptions(flags, opened, model), batch, prompts, ranks, signal },
      }),
    );
  } finally {
    await opened.checkpoint.tensors.close();
  }
  if (ranks) progress.note(`${ranks.size} processes share the prompts.`);
  const lines = async function* () {
    let done = 0;
    for await (const row of rows.rows()) {
      const { prompt } = prompts[done++]!;
      progress.update('generating', done, prompts.length, `${done}/${prompts.length} texts`);
      yield `${JSON.stringify({ ...(typeof prompt === 'string' && { prompt }), ...row })}\n`;
    }
  };
  try {
    if (out === undefined) for await (const line of lines()) printResult(line);
    else if (ranks && ranks.rank > 0) for await (const _ of lines());
    else
      await writeFileAtomic(out, async (sink) => {
        for await (const line of lines()) await sink.write(new TextEncoder().encode(line));
      });
  } catch (error) {
    if (!isInterruption(error)) throw error;
    progress.note(out === undefined ? 'interrupted' : `interrupted; ${out} is not written`);
    process.exitCode = INTERRUPTED;
  } finally {
    progress.end();
    dispose();
    await rows.release();
  }
}

/** What ranks must have in common. */
async function given(opened: OpenedModel, prompts: readonly PromptRow[], flags: GenerateFlags) {
  const { threads, out, ...same } = flags;
  return { model: await modelIdentity(opened), ...same, prompts: promptsHash(prompts) };
}
