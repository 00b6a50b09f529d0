/** Chat templates, and encoding chats as token ids. */
export { chatStopTokens, type EncodeChatOptions, encodeChat } from './encode.ts';
export type { TextPart } from './messages.ts';
export type { MessageSpan, RenderedChat } from './rendered.ts';
export type { Span } from './spans.ts';
export { ChatTemplate, type RenderOptions } from './template.ts';
