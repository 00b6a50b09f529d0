"""Makes vocab-merges/: folders with vocab.json and merges.txt, and the ids that transformers gives to texts.

    pip install transformers==5.18.0
    python make_vocab_merges.py
"""

import json
import pathlib

from make_sentencepiece import corpus, texts
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

FOLDER = pathlib.Path(__file__).parent / "vocab-merges"
KINDS = {
    # No tokenizer_config.json: the class is told by config.json.
    "gpt2": {"config.json": {"model_type": "gpt2"}},
    "qwen2": {
        "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        "added_tokens.json": {"<|im_start|>": 501, "<|im_end|>": 502},
        "special_tokens_map.json": {"additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "eos_token": "<|im_end|>"},
        "config.json": {"model_type": "qwen2"},
    },
    "bos": {
        "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "add_prefix_space": True, "bos_token": "<|endoftext|>"},
        "config.json": {"model_type": "gpt2"},
    },
}


def main():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocab = {**model["vocab"], "<|endoftext|>": 500}
    rows = [{"text": text, "ids": {}} for text in [*texts(40, seed=4), "a<|im_start|>b<|endoftext|>c"]]
    for name, files in KINDS.items():
        folder = FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
        merges = [" ".join(merge) if isinstance(merge, list) else merge for merge in model["merges"]]
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
        for file, content in files.items():
            (folder / file).write_text(json.dumps(content) + "\n")
        theirs = AutoTokenizer.from_pretrained(folder)
        for row in rows:
            row["ids"][name] = theirs.encode(row["text"])
    (FOLDER / "ids.json").write_text("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
