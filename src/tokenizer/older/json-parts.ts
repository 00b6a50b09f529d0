import { type AddedTokenJson, type JsonObject, tokenContent } from '../tokenizer-schema.ts';

/** A JSON-like object: without a prototype, so that a token may be named `__proto__`. */
export function vocabJson(ids: ReadonlyMap<string, number>): JsonObject {
  const vocab = Object.create(null) as JsonObject;
  for (const [token, id] of ids) vocab[token] = id;
  return vocab;
}

export function addedToken(id: number, content: string, special: boolean): AddedTokenJson {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special };
}

/**
 * The post-processor that adds bos and eos around a text as tokenizer_config.json requests; null if it requests
 * neither.
 *
 * @param addsBos whether bos is added if the file does not say.
 */
export function around(
  config: JsonObject,
  ids: Pick<ReadonlyMap<string, number>, 'get'>,
  addsBos: boolean,
): JsonObject | null {
  const token = (field: string, wanted: boolean) => {
    const text = wanted ? tokenContent(config[field]) : undefined;
    const id = text === undefined ? undefined : ids.get(text);
    return id === undefined ? undefined : { id, text: text! };
  };
  const bos = token('bos_token', (config.add_bos_token ?? addsBos) === true);
  const eos = token('eos_token', config.add_eos_token === true);
  if (!bos && !eos) return null;
  const special = ({ text }: { text: string }) => ({ SpecialToken: { id: text, type_id: 0 } });
  const sequence = (id: 'A' | 'B') => [
    ...(bos ? [special(bos)] : []),
    { Sequence: { id, type_id: 0 } },
    ...(eos ? [special(eos)] : []),
  ];
  const used = [bos, eos].filter((each) => each !== undefined);
  return {
    type: 'TemplateProcessing',
    single: sequence('A'),
    pair: [...sequence('A'), ...sequence('B')],
    special_tokens: Object.fromEntries(
      used.map(({ id, text }) => [text, { id: text, ids: [id], tokens: [text] }]),
    ),
  };
}
