import { chatStopTokens, renderChat } from '../chat/encode.ts';
import type { ChatTemplate } from '../chat/template.ts';
import { type OpenedModel, tokenizerOf } from '../checkpoint/load.node.ts';
import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type ChatModel, requireTemplate } from './chat.ts';
import { createDecoder, type DecoderOptions } from './decoder.node.ts';

/** Options for starting a chat. */
export interface OpenChatOptions extends DecoderOptions {
  /** The model's name in messages. */
  readonly name: string;
  /** The system message, if there will be one: templates may refuse it. */
  readonly system?: string | undefined;
  /** A chat template to use instead of the model's own. */
  readonly templateOf?: ((tokenizer: Tokenizer) => Promise<ChatTemplate>) | undefined;
  /** Further checks before the weights are read. */
  readonly check?: ((tokenizer: Tokenizer) => void) | undefined;
}

/**
 * Prepares an opened model for chats with {@link generateReply}. Anything missing for a chat is reported before the
 * weights are read. The checkpoint may be closed afterwards.
 *
 * @throws RopewalkError if it has no tokenizer or no chat template, or the template refuses the system message.
 */
export async function openChat(
  opened: OpenedModel,
  options: OpenChatOptions,
): Promise<{ readonly model: ChatModel; readonly stopTokens: readonly number[] }> {
  const { name, system, templateOf, check, ...settings } = options;
  const tokenizer = await tokenizerOf(opened.checkpoint);
  if (!tokenizer) throw new RopewalkError(`${name}: it has no tokenizer, which a chat needs.`);
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
