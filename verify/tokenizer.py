"""Checks Ropewalk's tokenizers against Hugging Face's Python libraries; not needed to use the project.

  python verify/tokenizer.py fixture > test/reference/bpe-merges.json
      what Hugging Face's own BpeTrainer learns from a small text, which a unit test compares
  python verify/tokenizer.py check <directory> <text file>
      loads the directory with transformers' AutoTokenizer, encodes the text, and prints count and SHA-256 of
      the ids (as little-endian int32), to be compared with Ropewalk's; and decodes back to the same text

Recorded with transformers 5.18.0 and tokenizers 0.23.3, for a tokenizer of 4,096 tokens that `trainBpe` learned
from English plays and Korean tales (1.5 MB together), on those texts and a line of rare characters:

  TokenizersBackend bos 0 eos 0
  474782 ids c9e5bebcd9c1d323646c366ed3638ae19d83ffbbdb5d80b056a4585e8d2ec7c3 round trip True

Ropewalk's `encode` gave 474,782 ids with the same SHA-256.
"""

import hashlib
import json
import struct
import sys

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
TEXTS = [
    "There was a king in Thule, and there was a queen in Thule; the king's ship and the queen's ship "
    "sailed to the island, the other island, and the last of the islands.\n\n  Then they'd sailed home.\n",
    "옛날 옛적에 나무꾼이 살았어요. 나무꾼은 산에서 나무를 했어요. 산신령이 나무꾼에게 도끼를 주었어요.\n",
    "banana bandana aaaa aaaaaa aaa 12 123 1234 🙂🙂 🙂 👩‍👩‍👧 👩‍👩‍👧\u0085\ufeff\u3000end \t \r\n end",
]
PROBES = TEXTS + ["the queen of the mountain 산에서 노래를 🙂\n\n\n   x\u0085\u0085y\ufeffz '\u017f 's 'S"]


def fixture() -> None:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        min_frequency=2,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    probes = [{"text": text, "ids": tokenizer.encode(text).ids} for text in PROBES]
    json.dump({"vocabSize": 400, "texts": TEXTS, "merges": merges, "probes": probes}, sys.stdout)


def check(directory: str, file: str) -> None:
    from transformers import AutoTokenizer

    with open(file, encoding="utf-8", newline="") as handle:
        text = handle.read()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    ids = tokenizer.encode(text, add_special_tokens=False)
    digest = hashlib.sha256(struct.pack(f"<{len(ids)}i", *ids)).hexdigest()
    print(f"{type(tokenizer).__name__} bos {tokenizer.bos_token_id} eos {tokenizer.eos_token_id}")
    print(f"{len(ids)} ids {digest} round trip {tokenizer.decode(ids) == text}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["fixture"] and len(sys.argv) == 2:
        fixture()
    elif sys.argv[1:2] == ["check"] and len(sys.argv) == 4:
        check(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)
