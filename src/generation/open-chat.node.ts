import { chatStopTokens, renderChat } from '../chat/encode.ts';
import type { ChatTemplate } from '../chat/template.ts';
import { type OpenedModel, tokenizerOf } from '../checkpoint/load.node.ts';
import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type ChatModel, requireTemplate } from './chat.ts';
import { createDecoder, type DecoderOptions } from './decoder.node.ts';

/** How a chat begins. */
export interface OpenChatOptions extends DecoderOptions {
  /** What messages call the model. */
  readonly name: string;
  /** The system message, if there will be one: templates may refuse it. */
  readonly system?: string | undefined;
  /** A chat template instead of the model's own. */
  readonly templateOf?: ((tokenizer: Tokenizer) => Promise<ChatTemplate>) | undefined;
  /** What else is to be checked before the weights are read. */
  readonly check?: ((tokenizer: Tokenizer) => void) | undefined;
}

/**
 * Makes an opened model ready for chats with {@link generateReply}. What is missing for a chat is said before its weights
 * are read. The checkpoint may be closed afterwards.
 *
 * @throws RopewalkError where it has no tokenizer or no chat template, or the template refuses the system message.
 */
export async function openChat(
  opened: OpenedModel,
  options: OpenChatOptions,
): Promise<{ readonly model: ChatModel; readonly stopTokens: readonly number[] }> {
  const { name, system, templateOf, check, ...settings } = options;
  const tokenizer = await tokenizerOf(opened.checkpoint);
  if (!tokenizer) throw new RopewalkError(`${name}: it has no tokenizer, which turns text into tokens.`);
  const template = templateOf ? await templateOf(tokenizer) : requireTemplate(tokenizer, name);
  const first = { role: 'user', content: 'Hello' } as const;
  const before = system === undefined ? [] : [{ role: 'system', content: system } as const];
  renderChat(tokenizer, template, [...before, first], { addGenerationPrompt: true });
  check?.(tokenizer);
  const configured = [...opened.stopTokens, ...opened.config.eos_token_id];
  const stopTokens = chatStopTokens(tokenizer, template, configured);
  const decoder = await createDecoder(opened, settings);
  return { model: { decoder, tokenizer, template }, stopTokens };
}
