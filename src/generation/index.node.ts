/** Running models: decoders and their caches, sampling, scoring, batches, taps. */
export { createDecoder, type DecoderOptions } from './decoder.node.ts';
export * from './index.ts';
export { type OpenChatOptions, openChat } from './open-chat.node.ts';
export { type OpenedText, type OpenTextOptions, openText } from './open-text.node.ts';
export { SCORING_WINDOW, type ScoreModelOptions, scoreModel } from './score-model.node.ts';
export { openDraft } from './speculate/open-draft.node.ts';
