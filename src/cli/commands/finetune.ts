import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { dataNotes } from '../../data/report.ts';
import { RopewalkError } from '../../errors.ts';
import { dataFiles } from '../../finetune/data-files.node.ts';
import { beginningOf, DATA_FOLDER } from '../../finetune/finetune.node.ts';
import { openFinetuning, settingsOf } from '../../finetune/job.node.ts';
import { FINETUNE } from '../../finetune/settings.ts';
import type { Locale } from '../../inspect/labels.ts';
import { OptionError, text } from '../../options.ts';
import type { TrainingJob } from '../../training/runs/job.node.ts';
import { RunDirectory } from '../../training/runs/run-directory.node.ts';
import { columnsOf, data, EXAMPLE_DEFAULTS, exampleShape } from '../options/data-options.ts';
import { modelPath } from '../options/resolve.ts';
import { asFlag } from '../options/spelling.ts';
import { type RunCommand, registerRun, type Surroundings } from '../runs/run-command.ts';
import { localeOption } from '../terminal/locale.ts';
import { showReading } from '../terminal/progress.ts';

const { trainOn: _ofTheLibrary, ...examples } = exampleShape;
const more = {
  // The argument, when set in a configuration file.
  model: text,
  data,
  ...examples,
};

type Finetuning = RunCommand<typeof FINETUNE.own, typeof more>;

export function register(program: Command): void {
  const command = program
    .command('finetune')
    .description('Train all weights of a model on your own chats, instructions or texts.')
    .argument('[model]', 'a Hugging Face model directory, a GGUF file, or an id on the hub');
  const open: Finetuning['open'] = (said, settings, surroundings, [model]) =>
    finetune({ ...said, ...(model !== undefined && { model }) }, settings, {
      ...surroundings,
      locale: command.opts<{ locale: Locale }>().locale,
    });
  registerRun(command, { verb: FINETUNE, more, moreDefaults: EXAMPLE_DEFAULTS, open })
    .addOption(localeOption())
    .addHelpText(
      'after',
      `
Examples:
  ropewalk finetune HuggingFaceTB/SmolLM2-135M --data chats.jsonl --out runs/chat --dry-run
  ropewalk finetune path/to/model --data pairs.csv --column prompt=Q --column completion=A --out runs/pairs
  ropewalk finetune --config run.yaml --epochs 1
  ropewalk finetune path/to/model --data chats.jsonl --out runs/chat --resume`,
    );
}

/** Opens the model and reads the data. */
async function finetune(
  said: Parameters<Finetuning['open']>[0],
  settings: Parameters<Finetuning['open']>[1],
  { out, resume, isTrial, signal, progress, locale, ranks }: Surroundings & { readonly locale: Locale },
): Promise<TrainingJob> {
  const {
    model,
    data: files,
    template,
    tooLong,
    malformed,
    specialTokens,
    ...columns
  } = {
    ...EXAMPLE_DEFAULTS,
    ...said,
  };
  if (model === undefined) {
    throw new RopewalkError(
      'the model is missing: give it after the command, or as "model" in the configuration.',
    );
  }
  if (files === undefined) throw new OptionError('data', 'it is missing: give a file of examples.');
  if (settings.sampleTokens !== undefined && !settings.samplePrompt?.length) {
    throw new OptionError(
      'sampleTokens',
      'there is no --sample-prompt to continue; give one, or leave it out.',
    );
  }
  // A trial leaves nothing behind, unless there is already a run whose tokens it can use. If several processes run,
  // one writes to the run.
  const isOwn = !isTrial || (out && RunDirectory.exists(out));
  const temporary =
    !isOwn || (ranks && ranks.rank > 0) ? await mkdtemp(join(tmpdir(), 'ropewalk-data-')) : undefined;
  const clean = async () => {
    if (temporary) await rm(temporary, { recursive: true, force: true });
  };
  try {
    const path = await modelPath(model);
    const reading = dataFiles(
      {
        ...{
          files: [files].flat(),
          folder: temporary ?? join(out!, DATA_FOLDER),
          signal,
          tooLong,
          malformed,
        },
        // Columns are part of a run's identity; no names are recorded as absent rather than empty.
        ...(Object.keys(columns).length > 0 && { columns: columnsOf(columns) }),
        specialTokensInText: specialTokens === 'special',
        onNote: (note) => progress.note(note),
        onProgress: showReading(progress),
        onReady({ report }) {
          progress.end();
          for (const note of dataNotes(report, asFlag)) progress.note(note);
        },
      },
      settingsOf(settings),
    );
    const job = await openFinetuning(path, reading, {
      ...settings,
      ranks,
      ...{ locale, name: path === model ? basename(resolve(path)) : model },
      now: out === undefined ? new Date() : await beginningOf({ out, resume }),
      ...(template !== undefined && { template }),
    });
    const close = async () => {
      await job.close();
      await clean();
    };
    return { ...job, close };
  } catch (error) {
    await clean();
    throw error;
  }
}
