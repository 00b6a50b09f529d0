import { RopewalkError } from '../../errors.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { isObject, type JsonObject, type TokenizerJson } from '../tokenizer-schema.ts';

/** How an extendable BPE model encodes texts. */
export interface ExtendableKind {
  /** Whether its vocabulary spells bytes, like GPT-2's; otherwise it spells characters, like SentencePiece's. */
  readonly isByteLevel: boolean;
  /** Whether a piece that is a token is encoded as that token, whatever the merges give. */
  readonly ignoresMerges: boolean;
}

/** @throws RopewalkError naming the reason why a tokenizer cannot be extended */
export function checkExtendable(tokenizer: Tokenizer): ExtendableKind {
  const json = tokenizer.toJSON();
  const { model } = json;
  const refuse = (problem: string): never => {
    throw new RopewalkError(`this tokenizer cannot be extended: ${problem}.`);
  };
  if (model.type !== 'BPE') {
    refuse(`its model is ${model.type}, and new tokens are learned for BPE models alone`);
  }
  for (const field of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    if (model[field]) refuse(`its model has a "${field}", with which tokens are spelled by their place`);
  }
  const isByteLevel = has(json.pre_tokenizer, 'ByteLevel') || has(json.normalizer, 'ByteLevel');
  const ignoresMerges = model.ignore_merges === true;
  if (ignoresMerges && !isByteLevel) {
    refuse('its model ignores merges ("ignore_merges") without being byte-level');
  }
  for (const content of hiddenTokens(json)) {
    let isReached = [...content].length === 1;
    const compare = (piece: string) => {
      isReached ||= ignoresMerges && piece === content;
    };
    tokenizer.eachPiece(content, compare, { addedTokens: false });
    if (isReached) {
      refuse(`its added token ${JSON.stringify(content)} would become part of the vocabulary of its model`);
    }
  }
  return { isByteLevel, ignoresMerges };
}

/** Added tokens that are not in the model's vocabulary, where all tokens must be once others follow. */
export function hiddenTokens({ model, added_tokens: added }: TokenizerJson): string[] {
  const vocab = model.vocab as JsonObject;
  return added
    .map(({ content }) => content)
    .filter((content) => content !== '' && !Object.hasOwn(vocab, content));
}

/** Whether a component has a type, or is a sequence containing one that has. */
function has(component: JsonObject | null, type: string): boolean {
  if (!component) return false;
  if (component.type === type) return true;
  const parts = component.pretokenizers ?? component.normalizers;
  return Array.isArray(parts) && parts.some((part) => isObject(part) && has(part, type));
}
