/**
 * The chat templates in tokenizer_config.json's list `[{name, template}]`, by name; none if the field has another
 * form.
 */
export function namedTemplates(field: unknown): Map<string, string> {
  const named = new Map<string, string>();
  for (const item of Array.isArray(field) ? (field as unknown[]) : []) {
    const { name, template } = (item ?? {}) as { name?: unknown; template?: unknown };
    if (typeof name === 'string' && typeof template === 'string') named.set(name, template);
  }
  return named;
}
