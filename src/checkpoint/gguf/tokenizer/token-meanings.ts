import { CONTROL, NORMAL, USER_DEFINED } from '../../../tokenizer/older/token-types.ts';

/**
 * Texts that end generation in llama.cpp whatever their type (`llama_vocab::impl::load` in llama-vocab.cpp); they are
 * then control tokens.
 */
const ENDS = [
  ...['<|eot_id|>', '<|im_end|>', '<|end|>', '<|return|>', '<|call|>', '<|flush|>', '<|calls|>'],
  ...['<end_of_turn>', '<|endoftext|>', '</s>', '<|eom_id|>', '<EOT>', '_<EOT>', '[EOT]', '[EOS]'],
  ...['<|end_of_text|>', '<end_of_utterance>', '<eos>', '<turn|>', '<|tool_response>'],
  ...['<｜end▁of▁sentence｜>', '[e~['],
];

/**
 * Texts that mark the parts of fill-in-the-middle code, by the key that otherwise names them: control tokens, some of
 * which end generation.
 */
const GAPS: readonly (readonly [key: string, ends: boolean, texts: readonly string[]])[] = [
  [
    'fim_pre',
    false,
    [
      ...['<|fim_prefix|>', '<fim-prefix>', '<fim_prefix>', '<｜fim▁begin｜>', '<PRE>', '▁<PRE>'],
      ...['<|code_prefix|>', '<|prefix|>'],
    ],
  ],
  [
    'fim_suf',
    false,
    [
      ...['<|fim_suffix|>', '<fim-suffix>', '<fim_suffix>', '<｜fim▁hole｜>', '<SUF>', '▁<SUF>'],
      ...['<|code_suffix|>', '<|suffix|>'],
    ],
  ],
  [
    'fim_mid',
    false,
    [
      ...['<|fim_middle|>', '<fim-middle>', '<fim_middle>', '<｜fim▁end｜>', '<MID>', '▁<MID>'],
      ...['<|code_middle|>', '<|middle|>'],
    ],
  ],
  ['fim_pad', true, ['<|fim_pad|>', '<fim-pad>', '<fim_pad>', '<PAD>', '[PAD]']],
  ['fim_rep', true, ['<|fim_repo|>', '<|repo_name|>', '<fim-repo>', '<REPO>', '<reponame>']],
  ['fim_sep', true, ['<|file_sep|>']],
];

/** gpt-oss markers that are always shown. */
const SHOWN = ['<|channel|>', '<|message|>', '<|start|>', '<|constrain|>'];

/** Tokens as llama.cpp interprets them, whatever types the file states. */
export interface TokenMeanings {
  readonly types: Int32Array;
  /** Every token that ends a text. */
  readonly stopIds: readonly number[];
}

/**
 * How llama.cpp interprets tokens by their texts.
 *
 * @param types by id
 * @param idOf ids by text
 * @param named the ids named in a file's metadata, by key: eos, eot, eom, fim_pad …
 */
export function tokenMeanings(
  types: ArrayLike<number>,
  idOf: (text: string) => number | undefined,
  named: Readonly<Record<string, number | undefined>>,
): TokenMeanings {
  const own = new Int32Array(types);
  const stops = new Set(
    ['eos', 'eot', 'eom'].flatMap((key) => (named[key] === undefined ? [] : [named[key]])),
  );
  const control = (id: number) => {
    own[id] = CONTROL;
  };
  for (const [key, ends, texts] of GAPS) {
    let id = named[key];
    if (id === undefined) {
      id = texts.map((text) => idOf(text)).find((found) => found !== undefined);
      if (id !== undefined) control(id);
    }
    if (ends && id !== undefined) stops.add(id);
  }
  for (const text of ENDS) {
    const id = idOf(text);
    if (id === undefined) continue;
    stops.add(id);
    control(id);
  }
  for (const text of SHOWN) {
    const id = idOf(text);
    if (id !== undefined) own[id] = USER_DEFINED;
  }
  const stopping = (text: string) => stops.has(idOf(text) ?? -1);
  const notStopping = (text: string, type: number) => {
    const id = idOf(text)!;
    stops.delete(id);
    own[id] = type;
  };
  // If these exist, `<|end|>` ends a message but not the reply.
  const calls = stopping('<|call|>') || stopping('<|calls|>');
  if (stopping('<|end|>') && calls && (stopping('<|return|>') || stopping('<|flush|>'))) {
    notStopping('<|end|>', USER_DEFINED);
  }
  if (stopping('<|tool_response>') && stopping('</s>')) notStopping('</s>', NORMAL);
  return { types: own, stopIds: [...stops] };
}
