"""Makes spm.json: a small SentencePiece-style vocabulary with scores, Hugging Face's own merges for it, and the ids of some
texts.

    pip install transformers==5.18.0
    python make_spm.py
"""

import json
import pathlib
import random

from tokenizers import Tokenizer, decoders, models, normalizers
from transformers.convert_slow_tokenizer import generate_merges

random.seed(3)
tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
pieces = sorted(set("▁the quick brown fox jumps over lazy dog 옛날에호랑이가 🤖") - {" "})
for _ in range(140):
    pieces.append("".join(random.choice(pieces[-60:]) for _ in range(2)))
tokens += [piece for piece in dict.fromkeys(pieces) if len(piece) <= 9]
# Ties too, which SentencePiece's own vocabularies have not but user-defined pieces do.
scores = [0.0] * 259 + [-float(random.randrange(60)) for _ in tokens[259:]]
vocab = {token: index for index, token in enumerate(tokens)}
merges = generate_merges(vocab, {token: score for token, score in zip(tokens, scores)}, tokens[:3])

tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
tokenizer.decoder = decoders.Sequence([decoders.Fuse()])
texts = ["the quick brown fox jumps over the lazy dog", "옛날에 호랑이가 🤖🤖 é", "", " two  spaces ", "x\ny"]
texts += ["".join(random.choice(tokens[259:]) for _ in range(12)).replace("▁", " ") for _ in range(40)]
result = {
    "tokens": tokens,
    "scores": scores,
    "types": [2, 3, 3] + [6] * 256 + [1] * (len(tokens) - 259),
    "merges": merges,
    "texts": [[text, tokenizer.encode(text, add_special_tokens=False).ids] for text in texts],
}
path = pathlib.Path(__file__).parent / "spm.json"
path.write_text(json.dumps(result, ensure_ascii=False) + "\n")
