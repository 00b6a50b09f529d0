/** The weights of a model directory, in the order in which `transformers` looks for them. */
export const WEIGHTS_FILE = 'model.safetensors';
export const WEIGHTS_INDEX = 'model.safetensors.index.json';
export const CONFIG_FILE = 'config.json';
export const GENERATION_CONFIG_FILE = 'generation_config.json';

/** Where chat templates for purposes other than plain chats are: `tool_use.jinja`, `rag.jinja`. */
export const TEMPLATES_FOLDER = 'additional_chat_templates';

/** Which tokens `ropewalk tokenizer extend` added: a file of ours, which other programs pass over. */
export const NEW_TOKENS_FILE = 'ropewalk.json';

/** Files of a model directory that belong to its tokenizer or its prompts and are copied unread. */
export const CARRIED_FILES: readonly string[] = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  'tokenizer.model',
  'vocab.json',
  'merges.txt',
  'vocab.txt',
  NEW_TOKENS_FILE,
];

/** Hugging Face's name of a shard; `index` counts from 0. */
export function shardName(index: number, count: number): string {
  const five = (value: number) => String(value).padStart(5, '0');
  return count === 1 ? WEIGHTS_FILE : `model-${five(index + 1)}-of-${five(count)}.safetensors`;
}

/** Whether saving a model may replace a file of this name. */
export function isModelFile(name: string): boolean {
  return (
    CARRIED_FILES.includes(name) ||
    [WEIGHTS_FILE, WEIGHTS_INDEX, CONFIG_FILE, GENERATION_CONFIG_FILE].includes(name) ||
    /^model-\d{5}-of-\d{5}\.safetensors$/.test(name)
  );
}

/** Whether a name is a plain file name, not a path that leads elsewhere. */
export function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\\\0]/.test(name) && !/^[A-Za-z]:/.test(name);
}
