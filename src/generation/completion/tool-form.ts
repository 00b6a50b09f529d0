import { renderChat } from '../../chat/encode.ts';
import type { ChatTemplate } from '../../chat/template.ts';
import { RopewalkError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';

/** How a template writes tool calls: a marker, JSON with name and arguments, a closing text. */
export interface ToolForm {
  /** The text before the JSON: `<tool_call>`; empty if a reply that begins with `{` is a call. */
  readonly marker: string;
  /** White space between the marker and the JSON. */
  readonly gap: string;
  /** The field of the arguments: `arguments` (Qwen, Hermes), `parameters` (Llama 3.1). */
  readonly argumentsField: string;
  /** The text after the JSON: a line break and `</tool_call>`. */
  readonly closing: string;
  /** Whether a message may contain several calls. */
  readonly several: boolean;
}

const PROBE = { name: 'probe_name', arguments: { probe_argument: 'probe_value' } };
const ANSWER = 'Probe!';
const CALL = { id: 'probe0001', type: 'function', function: PROBE };
const TOOL = {
  type: 'function',
  function: {
    name: PROBE.name,
    description: 'Probe.',
    parameters: { type: 'object', properties: { probe_argument: { type: 'string' } } },
  },
};

/**
 * The format of tool calls, determined by rendering one with the template.
 *
 * @throws RopewalkError if the template does not support tool calls, or does not write them as one JSON object with
 *   name and arguments.
 */
export function toolForm(tokenizer: Tokenizer, template: ChatTemplate): ToolForm {
  const chosen = template.for([TOOL]);
  const asked = [{ role: 'user', content: 'Probe?' }] as const;
  const render = (calls: number) =>
    renderChat(
      tokenizer,
      chosen,
      [...asked, { role: 'assistant', content: '', tool_calls: new Array(calls).fill(CALL) }],
      { tools: [TOOL] },
    ).text;
  const prompt = renderChat(tokenizer, chosen, asked, { tools: [TOOL], addGenerationPrompt: true }).text;
  const text = render(1);
  const said = text.startsWith(prompt) ? text.slice(prompt.length) : text.slice(text.indexOf('Probe?') + 6);
  const call = objectWithName(said);
  if (!call) throw unknownForm(template);
  const before = /(\S*)(\s*)$/.exec(said.slice(0, call.start))!;
  // The end of a turn also follows a plain answer.
  const plain = renderChat(tokenizer, chosen, [...asked, { role: 'assistant', content: ANSWER }], {
    tools: [TOOL],
  });
  const ending = plain.text.slice(plain.text.lastIndexOf(ANSWER) + ANSWER.length).trimEnd();
  const behind = said.slice(call.end).trimEnd();
  const closing = behind.endsWith(ending) ? behind.slice(0, behind.length - ending.length) : behind;
  const marker = before[1]!;
  const written = [...tokenizer.encode(marker + closing, { addSpecialTokens: false })];
  if (written.some((id) => tokenizer.isSpecial(id))) throw unknownForm(template);
  return {
    marker,
    gap: marker === '' ? '' : before[2]!,
    argumentsField: call.argumentsField,
    closing: closing.trimEnd(),
    several: marker !== '' && takes(() => render(2)),
  };
}

function unknownForm({ name }: ChatTemplate): RopewalkError {
  return new RopewalkError(
    `${name} does not write tool calls as one JSON object with a name and arguments, so calls cannot be read from what the model writes; leave out tools, or set tool_choice to none.`,
  );
}

function takes(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (error instanceof RopewalkError) return false;
    throw error;
  }
}

/** The JSON object with exactly the probe's name and arguments. */
function objectWithName(text: string) {
  for (let start = text.indexOf('{'); start >= 0; start = text.indexOf('{', start + 1)) {
    const end = objectEnd(text, start);
    if (end === undefined) continue;
    const object = parsed(text.slice(start, end));
    const fields = Object.keys(object ?? {}).filter((field) => field !== 'name');
    const [field] = fields;
    if (object?.name !== PROBE.name || fields.length !== 1) continue;
    if (JSON.stringify(object[field!]) !== JSON.stringify(PROBE.arguments)) continue;
    return { start, end, argumentsField: field! };
  }
  return undefined;
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** The index after the brace that closes the one at `start`; the probe has no braces in its texts. */
function objectEnd(text: string, start: number): number | undefined {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    if (text[at] === '{') depth++;
    else if (text[at] === '}' && --depth === 0) return at + 1;
  }
  return undefined;
}
