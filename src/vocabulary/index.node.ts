/** The token costs of texts; new tokens for a language. */
export { type NewTokens, readNewTokens } from '../checkpoint/new-tokens.node.ts';
export { type BeforeAfter, type ExtendOptions, type ExtensionResult, extendModel } from './extend.node.ts';
export * from './index.ts';
export type { RowInit } from './initial-rows.ts';
