/** A byte-level BPE tokenizer of at most 96 tokens, for the reference cases: ids 0 to 7 are special. */
export function tinyTokenizer(): {
  tokenizer: Record<string, unknown>;
  config: Record<string, unknown>;
} {
  const specials = ['<pad>', '<end>', '<stop>', '<3>', '<4>', '<5>', '<6>', '<turn>'];
  const letters = [...'Ġ.,!abcdefghijklmnopqrstuvwxyz'];
  const merges = ['Ġ t', 'h e', 'Ġt he', 'i n', 'a n', 'Ġ a', 'e r', 'o n', 'Ġa n', 'Ġan d', 'r e', 'Ġ s'];
  const tokens = [...specials, ...letters, ...merges.map((merge) => merge.replace(' ', ''))];
  return {
    tokenizer: {
      version: '1.0',
      added_tokens: specials.map((content, id) => ({
        ...{ id, content, single_word: false, lstrip: false, rstrip: false },
        ...{ normalized: false, special: true },
      })),
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      post_processor: null,
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        ...{ type: 'BPE', dropout: null, unk_token: null, byte_fallback: false },
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: merges.map((merge) => merge.split(' ')),
      },
    },
    config: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      eos_token: '<end>',
      pad_token: '<pad>',
      chat_template: '{% for message in messages %}{{ message.content }}<turn>{% endfor %}',
    },
  };
}
