import type { Command } from 'commander';
import { writeFileAtomic } from '../../files/atomic.node.ts';
import { readTextFiles } from '../../text/files.node.ts';
import { trainBpe } from '../../tokenizer/bpe-trainer.ts';
import { collect, count } from '../options/options.ts';
import { Progress } from '../terminal/progress.ts';

const EXAMPLE = `
Examples:
  ropewalk tokenizer train --text book.txt --vocab-size 4096 --out tokenizer.json`;

interface BpeModel {
  vocab: Record<string, number>;
  merges: unknown[];
}

interface TrainTokenizerFlags {
  text: string[];
  vocabSize: number;
  out: string;
  json?: boolean;
}

export function register(program: Command): void {
  const tokenizer = program
    .command('tokenizer')
    .description('Work with tokenizers.')
    .addHelpText('after', EXAMPLE);
  tokenizer
    .command('train')
    .description('Train a byte-level BPE tokenizer and write a tokenizer.json that Hugging Face loads.')
    .requiredOption('--text <file>', 'UTF-8 text to learn from; may be given several times', collect)
    .requiredOption('--vocab-size <n>', 'tokens, the 256 bytes and <|endoftext|> included', count)
    .requiredOption('--out <file>', 'the tokenizer.json to write')
    .option('--json', 'print {out, vocabSize, merges} on stdout')
    .addHelpText('after', EXAMPLE)
    .action(trainTokenizer);
}

async function trainTokenizer(flags: TrainTokenizerFlags): Promise<void> {
  const progress = new Progress();
  const documents = await readTextFiles(flags.text);
  const json = trainBpe(
    documents.map(({ text }) => text),
    {
      vocabSize: flags.vocabSize,
      onProgress: ({ size, target }) => progress.update('tokenizer', size, target, `${size} tokens`),
    },
  );
  progress.end();
  await writeFileAtomic(flags.out, JSON.stringify(json));
  const { vocab, merges } = json.model as unknown as BpeModel;
  const vocabSize = Object.keys(vocab).length;
  if (flags.json) {
    process.stdout.write(`${JSON.stringify({ out: flags.out, vocabSize, merges: merges.length })}\n`);
  } else {
    progress.note(`${flags.out}: ${vocabSize} tokens`);
  }
  if (vocabSize < flags.vocabSize) {
    progress.note(`the text has no more pairs to merge: ${vocabSize} tokens instead of ${flags.vocabSize}.`);
  }
}
