/**
 * The text model's name of a tensor of a checkpoint that has a vision tower beside it; undefined for another's tensor.
 * `language_model.model.` on the hub, `model.language_model.` as transformers 5 writes it.
 */
export function languageModelName(name: string): string | undefined {
  const [, own] = /^(?:model\.)?language_model\.(?:model\.)?(.+)$/.exec(name) ?? [];
  if (own !== undefined) return own.startsWith('lm_head.') ? own : `model.${own}`;
  return name.startsWith('lm_head.') ? name : undefined;
}
