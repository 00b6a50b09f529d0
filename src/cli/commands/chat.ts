import type { Command } from 'commander';
import { openModel } from '../../checkpoint/load.node.ts';
import { openTemplate } from '../../data/open-template.node.ts';
import { RopewalkError } from '../../errors.ts';
import { REPLY_TOKENS } from '../../generation/chat.ts';
import { openChat } from '../../generation/open-chat.node.ts';
import { withSamplingDefaults } from '../../generation/sampling-defaults.ts';
import type { Locale } from '../../inspect/labels.ts';
import { compileSchemaFile, readSchema } from '../options/json-schema.ts';
import { addDecoderOptions, type DecoderFlags, decoderOptions, loadingProgress } from '../options/models.ts';
import { count } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import { addSamplingOptions, checkSampling, type SamplingFlags } from '../options/sampling-options.ts';
import { InteractiveChat } from '../terminal/chat-terminal.ts';
import { CHAT_TEXTS } from '../terminal/chat-texts.ts';
import { Conversation } from '../terminal/conversation.ts';
import { localeOption } from '../terminal/locale.ts';
import { answerLines } from '../terminal/piped-chat.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface ChatFlags extends DecoderFlags, SamplingFlags {
  system?: string;
  template?: string;
  maxTokens: number;
  jsonSchema?: string;
  json?: boolean;
  locale: Locale;
}

export function register(program: Command): void {
  const command = program
    .command('chat')
    .description('Chat with a model. Without a terminal, each line of the input is a message.')
    .argument('<model>', 'a Hugging Face model directory, a GGUF file, or an id on the hub')
    .option('--system <text>', 'system prompt')
    .option('--template <name|file>', "a chat template (Jinja) instead of the model's own")
    .option('--max-tokens <n>', 'maximum number of tokens per reply', count, REPLY_TOKENS)
    .option('--json-schema <file>', 'each reply is JSON that is valid against this JSON Schema')
    .option(
      '--json',
      'in a pipe: each line is JSON (a message, {content}, or {messages}: a separate chat), and so is each reply: {content, end}',
    )
    .addOption(localeOption())
    .addHelpText(
      'after',
      `
Examples:
  ropewalk chat path/to/model --system "You are brief." --temperature 0.7
  echo "Why is the sky blue?" | ropewalk chat path/to/model.gguf --greedy
  ropewalk chat path/to/model --json < messages.jsonl > replies.jsonl
  echo "Anna is 7." | ropewalk chat path/to/model --json-schema person.json`,
    )
    .action(chat);
  addDecoderOptions(addSamplingOptions(command, 'reply'));
}

async function chat(name: string, flags: ChatFlags): Promise<void> {
  checkSampling(flags);
  if (flags.jsonSchema !== undefined && flags.stop) {
    throw new RopewalkError(
      '--json-schema determines where a reply ends; it cannot be combined with --stop.',
    );
  }
  if (flags.json && process.stdin.isTTY) {
    throw new RopewalkError('--json is for chats in a pipe; in a terminal, /save keeps a chat as JSON.');
  }
  const { model, stopTokens, sampling } = await open(await modelPath(name), name, flags);
  try {
    const { jsonSchema: schemaFile, json: _, ...rest } = flags;
    const schema = schemaFile === undefined ? {} : { jsonSchema: readSchema(schemaFile) };
    const options = { ...withSamplingDefaults(sampling, rest), ...schema, stopTokens };
    const conversation = new Conversation(model, options, flags.system);
    if (process.stdin.isTTY) {
      // Replies are written to stdout; messages for the person at the terminal go there in any case.
      const output = process.stdout.isTTY ? process.stdout : process.stderr;
      const onInterrupt = (callback: () => void) => {
        process.on('SIGINT', callback);
        return () => process.off('SIGINT', callback);
      };
      await new InteractiveChat(conversation, CHAT_TEXTS[flags.locale], {
        input: process.stdin,
        output,
        onInterrupt,
      }).run();
    } else await answerLines(conversation, process.stdin, { json: flags.json === true });
  } finally {
    await model.decoder.release();
  }
}

async function open(path: string, name: string, flags: ChatFlags) {
  const { template, jsonSchema, maxTokens, system } = flags;
  const opened = await openModel(path, flags);
  showWarnings(opened.warnings);
  try {
    const chat = await openChat(opened, {
      ...{ ...decoderOptions(flags), ...loadingProgress(opened), name, system },
      templateOf: template === undefined ? undefined : (tokenizer) => openTemplate(template, tokenizer),
      check(tokenizer) {
        if (jsonSchema !== undefined) compileSchemaFile(jsonSchema, tokenizer).constraint({ maxTokens });
      },
    });
    return { ...chat, sampling: opened.sampling };
  } finally {
    await opened.checkpoint.tensors.close();
  }
}
