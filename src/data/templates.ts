import { ChatTemplate } from '../chat/template.ts';
import { option, RopewalkError, said } from '../errors.ts';
import { namedTemplates } from '../tokenizer/named-templates.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

interface NamedTemplate {
  readonly source: string;
  /** Special tokens that the tokenizer must have: spelled out as text, they would not end a turn. */
  readonly tokens: readonly string[];
  readonly needsEos?: true;
}

const CHATML = `{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}`;

const PLAIN = `{%- set names = {'system': 'System', 'user': 'User', 'assistant': 'Assistant'} -%}
{{ bos_token }}
{%- for message in messages -%}
{{ names[message.role] + ':\\n' + message.content }}
{%- if message.role == 'assistant' -%}{{ eos_token }}{%- endif -%}
{{ '\\n\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'Assistant:\\n' }}{%- endif -%}`;

const GEMMA = `{{ bos_token }}
{%- if messages[0].role == 'system' -%}{{ raise_exception('System role not supported') }}{%- endif -%}
{%- for message in messages -%}
{%- set role = 'model' if message.role == 'assistant' else 'user' -%}
{{ '<start_of_turn>' + role + '\\n' + message.content | trim + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}`;

const LLAMA3 = `{{ bos_token }}
{%- for message in messages -%}
{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}`;

const TEMPLATES = {
  chatml: { source: CHATML, tokens: ['<|im_start|>', '<|im_end|>'] },
  plain: { source: PLAIN, tokens: [], needsEos: true },
  gemma: { source: GEMMA, tokens: ['<start_of_turn>', '<end_of_turn>'] },
  llama3: { source: LLAMA3, tokens: ['<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'] },
} satisfies Record<string, NamedTemplate>;

/** Chat templates for models without one; `plain` works with any tokenizer that has an end-of-text token. */
export type TemplateName = keyof typeof TEMPLATES;
export const TEMPLATE_NAMES = Object.keys(TEMPLATES) as TemplateName[];

export function isTemplateName(name: string): name is TemplateName {
  return Object.hasOwn(TEMPLATES, name);
}

/**
 * A template by name: another one of the model's (`rag`), or one of ours.
 *
 * @throws RopewalkError if it is neither, or the tokenizer lacks tokens that it writes.
 */
export function templateByName(name: string, tokenizer: Tokenizer): ChatTemplate {
  const own = ChatTemplate.fromConfig(tokenizer.config, `the template ${name}`, name);
  if (own) return own;
  if (isTemplateName(name)) return namedTemplate(name, tokenizer);
  const names = [...namedTemplates(tokenizer.config.chat_template).keys(), ...TEMPLATE_NAMES];
  throw new RopewalkError(
    said`${option('template', name)}: there is no such file and no template of this name; the names are ${names.join(', ')}.`,
  );
}

/**
 * A chat template by name, for a model without one; save it with the model that is trained with it.
 *
 * @throws RopewalkError if the tokenizer lacks the special tokens that the template writes.
 */
export function namedTemplate(name: TemplateName, tokenizer: Tokenizer): ChatTemplate {
  const { source, tokens, needsEos }: NamedTemplate = TEMPLATES[name];
  const missing = tokens.filter((token) => {
    const id = tokenizer.tokenToId(token);
    return id === undefined || !tokenizer.isSpecial(id);
  });
  if (missing.length > 0) {
    throw new RopewalkError(
      `the template ${name} writes the special tokens ${missing.join(' and ')}, which this tokenizer does not have; add them, or use the template plain`,
    );
  }
  if (needsEos && tokenizer.eosId === undefined) {
    throw new RopewalkError(
      `the template ${name} ends answers with the tokenizer's end-of-text token, but tokenizer_config.json has no eos_token; add one`,
    );
  }
  return new ChatTemplate(source, `the template ${name}`);
}
