import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { chatStopTokens, renderChat } from '../../chat/encode.ts';
import { ChatTemplate } from '../../chat/template.ts';
import { openModel, tokenizerOf } from '../../checkpoint/load.node.ts';
import { RopewalkError } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';
import { type ChatModel, REPLY_TOKENS, requireTemplate } from '../../generation/chat.ts';
import { createDecoder } from '../../generation/decoder.node.ts';
import type { SamplingOptions } from '../../generation/sampler.ts';
import { withSamplingDefaults } from '../../generation/sampling-defaults.ts';
import type { Locale } from '../../inspect/labels.ts';
import { addDecoderOptions, type DecoderFlags, decoderOptions, loadingProgress } from '../options/models.ts';
import { count } from '../options/options.ts';
import { modelPath } from '../options/resolve.ts';
import { addSamplingOptions, type SamplingFlags } from '../options/sampling-options.ts';
import { InteractiveChat } from '../terminal/chat-terminal.ts';
import { CHAT_TEXTS } from '../terminal/chat-texts.ts';
import { ChatSession } from '../terminal/conversation.ts';
import { INTERRUPTED, interruptSignal } from '../terminal/interrupt.ts';
import { localeOption } from '../terminal/locale.ts';
import { printable } from '../terminal/printable.ts';
import { showWarnings } from '../terminal/warnings.ts';

interface ChatFlags extends DecoderFlags, SamplingFlags {
  system?: string;
  template?: string;
  maxTokens: number;
  locale: Locale;
}

export function register(program: Command): void {
  const command = program
    .command('chat')
    .description('Chat with a model. Without a terminal, each line of the input is a message.')
    .argument('<model>', 'a Hugging Face model directory, a GGUF file, or an id on the hub')
    .option('--system <text>', 'what the model is told before the chat')
    .option('--template <file>', "a chat template (Jinja) instead of the model's own")
    .option('--max-tokens <n>', 'most tokens of a reply', count, REPLY_TOKENS)
    .addOption(localeOption())
    .addHelpText(
      'after',
      `
Examples:
  ropewalk chat path/to/model --system "You are brief." --temperature 0.7
  echo "Why is the sky blue?" | ropewalk chat path/to/model.gguf --greedy`,
    )
    .action(chat);
  addDecoderOptions(addSamplingOptions(command, 'reply'));
}

async function chat(name: string, flags: ChatFlags): Promise<void> {
  const drawing = (['temperature', 'topK', 'topP', 'minP'] as const).some((key) => flags[key] !== undefined);
  if (flags.greedy && drawing) {
    throw new RopewalkError(
      '--greedy takes the likeliest token; it cannot be combined with options of drawing.',
    );
  }
  const template = flags.template === undefined ? undefined : await readTemplate(flags.template);
  const { model, stopTokens, sampling } = await openChat(await modelPath(name), name, flags, template);
  try {
    const session = new ChatSession(
      model,
      { ...withSamplingDefaults(sampling, flags), stopTokens },
      flags.system,
    );
    if (process.stdin.isTTY) {
      // Replies go where stdout goes; what is only for the person at the terminal goes there in any case.
      const output = process.stdout.isTTY ? process.stdout : process.stderr;
      const onInterrupt = (callback: () => void) => {
        process.on('SIGINT', callback);
        return () => process.off('SIGINT', callback);
      };
      await new InteractiveChat(session, CHAT_TEXTS[flags.locale], {
        input: process.stdin,
        output,
        onInterrupt,
      }).run();
    } else await answerLines(session);
  } finally {
    await model.decoder.release();
  }
}

/** Opens the model; what is missing for a chat is said before its weights are read. */
async function openChat(
  path: string,
  name: string,
  flags: ChatFlags,
  given: ChatTemplate | undefined,
): Promise<{ model: ChatModel; stopTokens: readonly number[]; sampling: SamplingOptions }> {
  const options = decoderOptions(flags);
  const opened = await openModel(path);
  showWarnings(opened.warnings);
  try {
    const tokenizer = await tokenizerOf(opened.checkpoint);
    if (!tokenizer) throw new RopewalkError(`${name}: it has no tokenizer, which turns text into tokens.`);
    const template = given ?? requireTemplate(tokenizer, name);
    const first = { role: 'user', content: 'Hello' } as const;
    const system = flags.system === undefined ? [] : [{ role: 'system', content: flags.system } as const];
    renderChat(tokenizer, template, [...system, first], { addGenerationPrompt: true });
    const configured = [...opened.stopTokens, ...opened.config.eos_token_id];
    const stopTokens = chatStopTokens(tokenizer, template, configured);
    const decoder = await createDecoder(opened, { ...options, ...loadingProgress(opened) });
    return { model: { decoder, tokenizer, template }, stopTokens, sampling: opened.sampling };
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

/** A chat in a pipe: every line that is not blank is a message, and its reply is printed with a line break. */
async function answerLines(session: ChatSession): Promise<void> {
  const { signal, dispose } = interruptSignal(() => process.stdin.destroy());
  try {
    for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (signal.aborted) break;
      if (line.trim() === '') continue;
      await session.reply(line, (piece) => process.stdout.write(printable(piece)), signal);
      process.stdout.write('\n');
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    dispose();
  }
  if (signal.aborted) process.exitCode = INTERRUPTED;
}

async function readTemplate(file: string): Promise<ChatTemplate> {
  let source: string;
  try {
    source = await readFile(file, 'utf8');
  } catch (error) {
    throw fileError(error, 'read', file);
  }
  return new ChatTemplate(source, file);
}
