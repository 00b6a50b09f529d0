import { RopewalkError } from '../errors.ts';
import { tablesOf } from './tables/bpe-tables.ts';
import { type AddedTokenJson, isObject, type JsonObject, tokenContent } from './tokenizer-schema.ts';

/** A model folder's files about tokens, as parsed JSON. */
export interface AddedTokenFiles {
  /** tokenizer.json */
  readonly tokenizer: JsonObject;
  /** tokenizer_config.json */
  readonly config?: JsonObject | undefined;
  /** added_tokens.json: ids by text */
  readonly addedTokens?: JsonObject | undefined;
  /** special_tokens_map.json */
  readonly specialTokensMap?: JsonObject | undefined;
}

export interface JoinedTokenizer {
  /** tokenizer.json with every added token; the same object if nothing was missing. */
  readonly tokenizer: JsonObject;
  /** tokenizer_config.json with the named tokens of special_tokens_map.json; the same object if that adds none. */
  readonly config: JsonObject;
}

/** The tokens that every tokenizer may name, in the order in which they get ids. */
const NAMED = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

interface Token extends Required<Omit<AddedTokenJson, 'id' | 'normalized'>> {
  /** If no file says, tokens that are not special are normalized. */
  readonly normalized: boolean | undefined;
}
/** A token in a field: with its flags, or only its text. */
type Given = Token | string;
interface OwnToken {
  readonly id: number;
  readonly token: Token;
}
type Named = ReadonlyMap<string, Given>;

/**
 * Merges the added tokens of all four files into tokenizer.json, with the ids and flags of transformers'
 * AutoTokenizer (5.18): `added_tokens_decoder` of tokenizer_config.json (or, without one, special_tokens_map.json and
 * added_tokens.json) overrides tokenizer.json's flags; a token that tokenizer.json lacks gets the next free id, as in
 * the Rust library's `add_tokens`, whatever number it is listed under. Idempotent.
 *
 * @param folder for messages
 * @throws RopewalkError naming the file and an invalid token field, or a token whose id would be another's
 */
export function joinTokenizerFiles(files: AddedTokenFiles, folder: string): JoinedTokenizer {
  const { tokenizer, config = {} } = files;
  const inConfig = `${folder}/tokenizer_config.json`;
  const decoder = config.added_tokens_decoder;
  if (decoder !== undefined && !isObject(decoder)) {
    throw wrong(inConfig, 'added_tokens_decoder', 'an object of tokens by id');
  }
  const map = decoder === undefined ? tokenFields(files.specialTokensMap ?? {}) : {};
  const inField = (field: string) => (field in map ? `${folder}/special_tokens_map.json` : inConfig);
  const named = namedTokens(config, map, inField);
  const unnamed = extraTokens(config, map, inField);
  const special = new Set(specialTexts(config, map));
  const listed = decoder ? tokensById(decoder, inConfig) : legacyTokens(files, special, folder);
  const own = ownTokens(tokenizer);
  const added = addTokens(tokenizer, own, tokensToAdd(own, listed, named, unnamed), folder);
  return {
    tokenizer: added ? { ...tokenizer, added_tokens: added } : tokenizer,
    config: withNames(config, map),
  };
}

/** The configuration with special_tokens_map.json merged in, which takes precedence for the seven names. */
function withNames(config: JsonObject, map: JsonObject): JsonObject {
  const news = Object.entries(map).filter(([field, value]) =>
    NAMED.includes(field)
      ? tokenContent(value) !== tokenContent(config[field])
      : field.endsWith('_token') && !(field in config),
  );
  return news.length === 0 ? config : { ...config, ...Object.fromEntries(news) };
}

/** Only tokens in special_tokens_map.json count. */
function tokenFields(map: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(map).filter(
      ([field]) => field.endsWith('_token') || field === extra || field === additional,
    ),
  );
}

const extra = 'extra_special_tokens';
const additional = 'additional_special_tokens';

/** The tokens with a name: the seven, then `image_token` and similar ones. */
function namedTokens(config: JsonObject, map: JsonObject, inField: (field: string) => string): Named {
  const tokens = new Map<string, Given>();
  const set = (field: string, value: unknown) =>
    tokens.set(field, given(value, inField(field), field, field in map));
  for (const field of NAMED) {
    const value = field in map ? map[field] : config[field];
    if (value !== undefined && value !== null) set(field, value);
  }
  const others = (fields: JsonObject) =>
    Object.entries(fields).filter(
      ([field, value]) =>
        field.endsWith('_token') && !NAMED.includes(field) && tokenContent(value) !== undefined,
    );
  const dictionaries = [config, map].flatMap(({ extra_special_tokens: dictionary }) =>
    isObject(dictionary) ? Object.entries(dictionary) : [],
  );
  // If both files name one, its place is that in special_tokens_map.json and its token that of tokenizer_config.json.
  for (const [field, value] of [...others(map), ...others(config), ...dictionaries]) set(field, value);
  return tokens;
}

/**
 * The tokens without a name: `extra_special_tokens`, called `additional_special_tokens` in older files; the latter in
 * special_tokens_map.json is overridden by any list in tokenizer_config.json.
 */
function extraTokens(config: JsonObject, map: JsonObject, inField: (field: string) => string): Given[] {
  const listOf = (fields: JsonObject, field: string) => {
    const value = fields[field] ?? undefined;
    if (value === undefined || isObject(value)) return undefined;
    if (!Array.isArray(value)) throw wrong(inField(field), field, 'a list of tokens');
    return value.map((each: unknown) =>
      given(each, inField(field), field, !isObject(each) || each.__type === undefined),
    );
  };
  const own = listOf(config, extra);
  const ofConfig = own && own.length > 0 ? own : (listOf(config, additional) ?? own);
  const ofMap = listOf(map, extra);
  return ofConfig || ofMap ? [...(ofConfig ?? []), ...(ofMap ?? [])] : (listOf(map, additional) ?? []);
}

/** The texts that make tokens of added_tokens.json special; objects in tokenizer_config.json do not. */
function* specialTexts(config: JsonObject, map: JsonObject): Generator<string> {
  for (const field of NAMED) {
    const text = field in map ? tokenContent(map[field]) : config[field];
    if (typeof text === 'string') yield text;
  }
  const list = (value: unknown) => (Array.isArray(value) ? (value as unknown[]) : []);
  const own = list(config[extra]).length > 0 ? config[extra] : config[additional];
  for (const token of list(own)) if (typeof token === 'string') yield token;
  for (const token of list(map[extra])) yield tokenContent(token) ?? '';
}

/** `added_tokens_decoder`, by id. */
function tokensById(decoder: JsonObject, file: string): Token[] {
  const entries = Object.entries(decoder).map(([id, value]): [number, Token] => {
    if (!/^\d{1,9}$/.test(id) || !isObject(value) || typeof value.content !== 'string') {
      throw wrong(file, `added_tokens_decoder.${id.slice(0, 40)}`, 'a token, with its id as the key');
    }
    return [Number(id), withFlags(value.content, value)];
  });
  return entries.sort(([a], [b]) => a - b).map(([, token]) => token);
}

/** added_tokens.json and tokenizer.json's own tokens, by id; the latter take precedence. */
function legacyTokens(
  { tokenizer, addedTokens = {} }: AddedTokenFiles,
  special: ReadonlySet<string>,
  folder: string,
) {
  const byId = new Map<number, Token>();
  for (const [content, id] of Object.entries(addedTokens)) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0) {
      throw wrong(`${folder}/added_tokens.json`, content.slice(0, 40), 'a token id');
    }
    const isSpecial = special.has(content);
    byId.set(id, withFlags(content, { special: isSpecial, normalized: !isSpecial }));
  }
  for (const { id, token } of ownTokens(tokenizer)) byId.set(id, token);
  return [...byId].sort(([a], [b]) => a - b).map(([, token]) => token);
}

/** tokenizer.json's added tokens; invalid ones are left to the tokenizer's own check. */
function ownTokens({ added_tokens: tokens }: JsonObject): OwnToken[] {
  if (!Array.isArray(tokens)) return [];
  const own: OwnToken[] = [];
  for (const token of tokens as unknown[]) {
    if (isObject(token) && typeof token.content === 'string' && typeof token.id === 'number')
      own.push({ id: token.id, token: withFlags(token.content, token) });
  }
  return own;
}

/** Tokens that are missing from tokenizer.json, or have other flags there, in the order in which ids are assigned. */
function tokensToAdd(
  own: readonly OwnToken[],
  listed: readonly Token[],
  named: Named,
  unnamed: readonly Given[],
): Token[] {
  const flagsOf = new Map(listed.map((token) => [token.content, token]));
  const asListed = [...named.values()].map((token) => flagsOf.get(contentOf(token)) ?? token);
  const names = new Set(asListed.map(contentOf));
  // Some files have thousands of tokens, for which keys are made only where a text is repeated.
  const firsts = new Map<string, Token>();
  const repeated = new Set<string>();
  for (const { token } of own) {
    if (firsts.has(token.content)) repeated.add(keyOf(token));
    else firsts.set(token.content, token);
  }
  const isOwn = (token: Token) =>
    areSame(firsts.get(token.content), token) || (repeated.size > 0 && repeated.has(keyOf(token)));
  const changed = listed.filter((token) => !isOwn(token));
  const alsoKnown = new Set(changed.map(contentOf));
  const isKnown = (text: string) => firsts.has(text) || alsoKnown.has(text);
  const more = [...asListed, ...unnamed].filter((token) => !isKnown(contentOf(token)));
  return [...changed, ...new Map(more.map((token) => [keyOf(token), token])).values()].map((token) => {
    if (typeof token === 'string') return withFlags(token, { special: true });
    return names.has(token.content) ? { ...token, special: true } : token;
  });
}

/** tokenizer.json's added tokens with others added or their flags replaced; undefined if nothing changes. */
function addTokens(
  tokenizer: JsonObject,
  own: readonly OwnToken[],
  tokens: readonly Token[],
  folder: string,
): AddedTokenJson[] | undefined {
  if (tokens.length === 0) return undefined;
  const vocabulary = vocabularyOf(tokenizer);
  const byText = new Map(own.map((each) => [each.token.content, each]));
  const before = new Set(own.map(({ id, token }) => `${id} ${keyOf(token)}`));
  let next = Math.max(vocabulary.size, ...own.map(({ id }) => id + 1));
  for (const token of tokens) {
    if (token.content === '') continue;
    const id = byText.get(token.content)?.id ?? vocabulary.idOf(token.content) ?? next;
    const other = id === next ? vocabulary.textOf(id) : undefined;
    if (other !== undefined && other !== token.content) {
      throw new RopewalkError(
        `${folder}: the added token ${JSON.stringify(token.content)} would get the id ${id}, which belongs to ${JSON.stringify(other)} in tokenizer.json; give it a separate id in "added_tokens" there`,
      );
    }
    next = Math.max(next, id + 1);
    byText.set(token.content, { id, token });
  }
  const all = [...byText.values()];
  if (all.every(({ id, token }) => before.has(`${id} ${keyOf(token)}`))) return undefined;
  return all.sort((a, b) => a.id - b.id).map(({ id, token }) => ({ id, ...complete(token) }));
}

/** The vocabulary of a BPE model (ids by text) or a Unigram model (pairs of text and score). */
function vocabularyOf({ model }: JsonObject) {
  const tables = tablesOf(model);
  if (tables) {
    const { vocabulary } = tables;
    return {
      size: vocabulary.size,
      idOf: (text: string) => vocabulary.id(text),
      textOf: (id: number) => vocabulary.token(id),
    };
  }
  const vocab = isObject(model) ? model.vocab : undefined;
  const entries = Array.isArray(vocab)
    ? vocab.map((entry, id): [string, number] => [Array.isArray(entry) ? String(entry[0]) : '', id])
    : isObject(vocab)
      ? (Object.entries(vocab) as [string, number][])
      : [];
  const ids = new Map(entries);
  let texts: Map<number, string> | undefined;
  return {
    size: entries.length,
    idOf: (text: string) => ids.get(text),
    textOf: (id: number) => {
      texts ??= new Map(entries.map(([text, each]) => [each, text]));
      return texts.get(id);
    },
  };
}

function given(value: unknown, file: string, field: string, special?: boolean): Given {
  if (typeof value === 'string') return value;
  const content = tokenContent(value);
  if (content === undefined) throw wrong(file, field, 'the text of a token');
  return withFlags(content, special ? { ...(value as JsonObject), special } : (value as JsonObject));
}

function withFlags(content: string, fields: JsonObject): Token {
  const { single_word, lstrip, rstrip, normalized, special } = fields;
  return {
    content,
    single_word: single_word === true,
    lstrip: lstrip === true,
    rstrip: rstrip === true,
    normalized: typeof normalized === 'boolean' ? normalized : undefined,
    special: special === true,
  };
}

function contentOf(token: Given): string {
  return typeof token === 'string' ? token : token.content;
}

/** Whether two tokens have the same text and flags. */
function areSame(a: Token | undefined, b: Token): boolean {
  return (
    a !== undefined &&
    a.content === b.content &&
    a.single_word === b.single_word &&
    a.lstrip === b.lstrip &&
    a.rstrip === b.rstrip &&
    (a.normalized ?? !a.special) === (b.normalized ?? !b.special) &&
    a.special === b.special
  );
}

/** Equal for tokens with the same text and flags. */
function keyOf(token: Given): string {
  if (typeof token === 'string') return `text ${token}`;
  const { content, single_word, lstrip, rstrip, normalized, special } = token;
  return `${+single_word}${+lstrip}${+rstrip}${+(normalized ?? !special)}${+special} ${content}`;
}

function complete(token: Token) {
  return { ...token, normalized: token.normalized ?? !token.special };
}

function wrong(file: string, field: string, what: string): RopewalkError {
  return new RopewalkError(`${file}: the field "${field}" must be ${what}; use the model's original file`);
}
