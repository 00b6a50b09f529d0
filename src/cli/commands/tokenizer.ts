import type { Command } from 'commander';
import { RopewalkError } from '../../errors.ts';
import { writeFileAtomic } from '../../files/atomic.node.ts';
import { readTextFiles } from '../../text/files.node.ts';
import { trainBpe } from '../../tokenizer/bpe-trainer.ts';
import { collect, count, idList } from '../options/options.ts';
import { TOKENIZER_ARGUMENT, tokenizerNamed } from '../options/tokenizers.ts';
import { printable } from '../terminal/printable.ts';
import { Progress } from '../terminal/progress.ts';
import { EXTEND_EXAMPLE, registerExtend } from '../tokenizer/extend.ts';
import { REPORT_EXAMPLE, registerReport } from '../tokenizer/report.ts';

const TRAIN_EXAMPLE = `
  ropewalk tokenizer train --text book.txt --vocab-size 4096 --out tokenizer.json`;
const ENCODE_EXAMPLE = `
  ropewalk tokenizer encode google/gemma-2-2b-it --text "A rope is laid."
  ropewalk tokenizer encode path/to/model --file book.txt --no-special --json`;
const DECODE_EXAMPLE = `
  ropewalk tokenizer decode path/to/model --ids 2,235280,20564`;

interface BpeModel {
  vocab: Record<string, number>;
  merges: unknown[];
}

interface EncodeFlags {
  text?: string;
  file?: string;
  special: boolean;
  json?: boolean;
}

interface DecodeFlags {
  ids: number[];
  json?: boolean;
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
    .addHelpText(
      'after',
      `\nExamples:${TRAIN_EXAMPLE}${ENCODE_EXAMPLE}${DECODE_EXAMPLE}${REPORT_EXAMPLE}${EXTEND_EXAMPLE}`,
    );
  tokenizer
    .command('train')
    .description('Train a byte-level BPE tokenizer and write a tokenizer.json that Hugging Face loads.')
    .requiredOption('--text <file>', 'UTF-8 text to learn from; may be given several times', collect)
    .requiredOption('--vocab-size <n>', 'number of tokens, including the 256 bytes and <|endoftext|>', count)
    .requiredOption('--out <file>', 'the tokenizer.json to write')
    .option('--json', 'print {out, vocabSize, merges} on stdout')
    .addHelpText('after', `\nExamples:${TRAIN_EXAMPLE}`)
    .action(trainTokenizer);
  tokenizer
    .command('encode')
    .description("Show the token ids of a text, the same as those of Hugging Face's library.")
    .argument('<model>', TOKENIZER_ARGUMENT)
    .option('--text <text>', 'the text')
    .option('--file <file>', 'a UTF-8 file with the text')
    .option('--no-special', 'do not add special tokens around the text, such as <bos>')
    .option('--json', 'print {ids, tokens} on stdout, instead of a line with id and token for each')
    .addHelpText('after', `\nExamples:${ENCODE_EXAMPLE}`)
    .action(encodeText);
  tokenizer
    .command('decode')
    .description('Show the text of token ids.')
    .argument('<model>', TOKENIZER_ARGUMENT)
    .requiredOption('--ids <ids>', 'comma-separated token ids', idList)
    .option('--json', 'print {text} on stdout')
    .addHelpText('after', `\nExamples:${DECODE_EXAMPLE}`)
    .action(decodeIds);
  registerReport(tokenizer);
  registerExtend(tokenizer);
}

async function encodeText(model: string, flags: EncodeFlags): Promise<void> {
  if ((flags.text === undefined) === (flags.file === undefined)) {
    throw new RopewalkError('tokenizer encode takes either --text TEXT or --file FILE; give one of them.');
  }
  const tokenizer = await tokenizerNamed(model);
  const text = flags.text ?? (await readTextFiles([flags.file!]))[0]!.text;
  const ids = tokenizer.encode(text, { addSpecialTokens: flags.special });
  const tokens = ids.map((id) => tokenizer.idToToken(id)!);
  if (flags.json) process.stdout.write(`${JSON.stringify({ ids, tokens })}\n`);
  else process.stdout.write(ids.map((id, i) => `${id}\t${oneLine(tokens[i]!)}\n`).join(''));
}

async function decodeIds(model: string, flags: DecodeFlags): Promise<void> {
  const tokenizer = await tokenizerNamed(model);
  const unknown = flags.ids.find((id) => tokenizer.idToToken(id) === undefined);
  if (unknown !== undefined) {
    throw new RopewalkError(
      `the id ${unknown} is not in the vocabulary of ${model}, whose highest id is ${tokenizer.vocabSize - 1}.`,
    );
  }
  const text = tokenizer.decode(flags.ids);
  if (flags.json) process.stdout.write(`${JSON.stringify({ text })}\n`);
  else process.stdout.write(`${process.stdout.isTTY ? printable(text) : text}\n`);
}

/** A token on its own line: control characters, including line breaks, are escaped as in JSON. */
function oneLine(token: string): string {
  return token.replace(/[\p{Cc}\u2028\u2029]/gu, (character) => {
    const json = JSON.stringify(character).slice(1, -1);
    return json === character ? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}` : json;
  });
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
