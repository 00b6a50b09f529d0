/**
 * The text model's name for a tensor in a checkpoint with a vision tower; undefined for tensors of other parts.
 * `language_model.model.` on the hub, `model.language_model.` as transformers 5 writes it.
 */
export function languageModelName(name: string): string | undefined {
  const [, own] = /^(?:model\.)?language_model\.(?:model\.)?(.+)$/.exec(name) ?? [];
  if (own !== undefined) return own.startsWith('lm_head.') ? own : `model.${own}`;
  return name.startsWith('lm_head.') ? name : undefined;
}
