/** What a BPE model in tokenizer.json has besides `vocab` and `merges`: the fields and defaults of the Rust library. */
export const BPE_FIELDS = {
  type: 'BPE',
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
};
