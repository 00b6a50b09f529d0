import type { Command } from 'commander';
import { openTokenizer } from '../../checkpoint/tokenizer.node.ts';
import { RopewalkError } from '../../errors.ts';
import { familyByName, familyNames } from '../../families/registry.ts';
import { count, OptionError, option, text } from '../../options.ts';
import { readTextFiles } from '../../text/files.node.ts';
import { bpeTokenizerConfig, trainBpeAsync } from '../../tokenizer/bpe-trainer.ts';
import { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { tokenizerFiles } from '../../tokenizer/tokenizer-files.ts';
import { configForTokenizer } from '../../training/runs/config-for-tokenizer.ts';
import { openPretraining } from '../../training/runs/pretrain.node.ts';
import { TRAIN } from '../../training/settings.ts';
import { specialTokens } from '../options/data-options.ts';
import { encodeTexts, textFiles } from '../options/text-corpus.ts';
import { type RunCommand, registerRun } from '../runs/run-command.ts';
import type { Progress } from '../terminal/progress.ts';

const more = {
  family: option(text, `one of ${familyNames()}`, { value: 'name' }),
  preset: option(text, 'size of the model', { value: 'name' }),
  text: textFiles,
  specialTokens,
  tokenizer: option(
    text,
    'a tokenizer.json or a model directory (default: a tokenizer trained on the text)',
    {
      value: 'path',
    },
  ),
  vocabSize: option(count, "size of the trained tokenizer (default: the preset's)", { value: 'n' }),
};
const moreDefaults = { preset: 'tiny', specialTokens: 'special' } as const;

type Opening = RunCommand<typeof TRAIN.own, typeof more>['open'];

export function register(program: Command): void {
  const command = program
    .command('train')
    .description('Train a model from scratch on text files, by next-token prediction.');
  registerRun(command, { verb: TRAIN, more, moreDefaults, open: train }).addHelpText(
    'after',
    `
Examples:
  ropewalk train --family llama --text book.txt --out runs/llama
  ropewalk train --family gemma2 --preset tiny --text a.txt --text b.txt --steps 1000 --out runs/gemma2
  ropewalk train --family llama --text book.txt --out runs/llama --resume`,
  );
}

/** Reads the text and its tokenizer. */
const train: Opening = async (said, settings, { progress, signal, ranks }) => {
  const {
    family: name,
    preset: size,
    text: files,
    tokenizer: given,
    vocabSize,
    specialTokens: special,
  } = {
    ...moreDefaults,
    ...said,
  };
  if (name === undefined) throw new OptionError('family', `it is missing: choose one of ${familyNames()}.`);
  if (files === undefined) throw new OptionError('text', 'it is missing: give a file to train on.');
  const family = familyByName(name);
  const preset = Object.hasOwn(family.presets, size) ? family.presets[size] : undefined;
  if (!preset) {
    throw new RopewalkError(
      `${family.name} has no preset "${size}"; there are ${Object.keys(family.presets).join(', ')}.`,
    );
  }
  if (given !== undefined && vocabSize !== undefined) {
    throw new OptionError(
      'vocabSize',
      'it applies only to a new tokenizer; it cannot be combined with --tokenizer.',
    );
  }
  const documents = await readTextFiles([files].flat(), { signal, onWarning: (note) => progress.note(note) });
  const texts = documents.map(({ text: each }) => each);
  const tokenizer = given
    ? await openTokenizer(given)
    : await trainTokenizer(texts, vocabSize ?? preset.config.vocab_size, progress, signal);
  const tokens = await encodeTexts(tokenizer, texts, { specialTokens: special, progress, signal });
  const config = configForTokenizer(preset.config, tokenizer);
  return openPretraining({ ...settings, family, config, files: tokenizerFiles(tokenizer), tokens, ranks });
};

async function trainTokenizer(
  texts: readonly string[],
  vocabSize: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<Tokenizer> {
  const json = await trainBpeAsync(texts, {
    vocabSize,
    signal,
    onProgress: ({ size, target }) => progress.update('tokenizer', size, target, `${size} tokens`),
  });
  progress.end();
  return Tokenizer.fromJSON(json, bpeTokenizerConfig(json));
}
