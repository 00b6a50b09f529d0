"""Makes sentencepiece/: small tokenizer.model files of several kinds, and the ids that Python's sentencepiece gives to texts.

    pip install sentencepiece==0.2.1
    python make_sentencepiece.py            # the models, and 60 texts with ids (ids.json)
    python make_sentencepiece.py --texts N  # N texts and the ids of all models as JSON lines on stdout, for verify/sentencepiece.ts
"""

import argparse
import io
import json
import pathlib
import random
import sys
import unicodedata

import sentencepiece

FOLDER = pathlib.Path(__file__).parent / "sentencepiece"
SYMBOLS = ["<sym>", "[INST]", "[/INST]", "<|im_start|>", "((", "((("]
WORDS = (
    "the quick brown fox jumps over a lazy dog ; ropes are laid from strands , and strands from yarns of hemp . "
    "call me Ishmael ! whenever it is a damp , drizzly November in my soul I account it high time to get to sea "
    "옛날 옛적에 호랑이가 담배를 피우던 시절에 할머니가 떡을 팔러 산을 넘어 갔습니다 그리고 바다로 "
    "吾輩 は 猫 で ある 名前 は まだ 無い どこ で 生れ た か とんと 見当 が つか ぬ ガラス "
    "für größere Straßen naïve café déjà vu Ça 1234 5678 90 3.14 2026 def return x == y"
).split()


def sentence(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(3, 14)))


def corpus():
    rng = random.Random(1)
    return [sentence(rng) for _ in range(4000)]


KINDS = {
    # Llama 2 and Mistral: no normalization, bytes for what has no token.
    "bpe-bytes": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, vocab_size=900),
    # The defaults of the trainer: NFKC, spaces gathered, unknown tokens.
    "unigram": dict(model_type="unigram", vocab_size=420),
    "unigram-bytes": dict(model_type="unigram", byte_fallback=True, normalization_rule_name="identity", vocab_size=700),
    "bpe-symbols": dict(model_type="bpe", byte_fallback=True, user_defined_symbols=SYMBOLS, normalization_rule_name="identity", remove_extra_whitespaces=False, vocab_size=700),
    "unigram-symbols": dict(model_type="unigram", user_defined_symbols=SYMBOLS, vocab_size=420),
    # Gemma: symbols, no prefix.
    "bpe-no-prefix": dict(model_type="bpe", byte_fallback=True, user_defined_symbols=[*SYMBOLS, "▁▁", "▁▁▁", "\n\n"], normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=False, vocab_size=700),
}


def train(name, options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()),
        model_writer=model,
        character_coverage=0.9995,
        num_threads=1,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    (FOLDER / f"{name}.model").write_bytes(model.getvalue())


def texts(count, seed=2):
    """Sentences of the corpus, with what tokenizers stumble over: spaces, other scripts, signs, decomposed letters."""
    rng = random.Random(seed)
    odd = ["\t", "\n", "\r\n", "  ", "     ", "▁", "▁▁", "é", "ﬁ", "①", "Ａ", "㈱", "😀", "👩‍👩‍👧", "\u00a0", "\u3000", "\u200b", "½", "ｶﾞ", "한글", "汉字", "ไทย", "\u0301", "<0x41>", "aaaa", "((((("]
    for i in range(count):
        kind = i % 8
        if kind < 3:
            text = sentence(rng)
        elif kind == 3:
            text = "".join(rng.choice(WORDS + odd + SYMBOLS + [" "]) for _ in range(rng.randrange(1, 20)))
        elif kind == 4:
            text = rng.choice([" ", "  ", "\n"]) + sentence(rng).replace(" ", rng.choice([" ", "  ", "\n", "\t "])) + rng.choice(["", " ", "   "])
        elif kind == 5:
            text = unicodedata.normalize("NFD", sentence(rng))
        elif kind == 6:
            words = sentence(rng).split()
            for _ in range(rng.randrange(1, 4)):
                words.insert(rng.randrange(len(words) + 1), rng.choice(SYMBOLS))
            text = rng.choice(["", " "]).join(words)
        else:
            text = "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xA0, 0x250), rng.randrange(0x3040, 0x30FF), rng.randrange(0xAC00, 0xD7A4), rng.randrange(0x1F300, 0x1F600)])) for _ in range(rng.randrange(1, 30)))
        yield text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int)
    arguments = parser.parse_args()
    if arguments.texts is None:
        FOLDER.mkdir(exist_ok=True)
        for name, options in KINDS.items():
            train(name, options)
    models = {name: sentencepiece.SentencePieceProcessor(model_file=str(FOLDER / f"{name}.model")) for name in KINDS}
    rows = [
        {"text": text, "ids": {name: model.encode(text) for name, model in models.items()}}
        for text in texts(arguments.texts or 64, seed=3 if arguments.texts else 2)
    ]
    if arguments.texts is not None:
        for row in rows:
            sys.stdout.write(json.dumps(row, ensure_ascii=True) + "\n")
    else:
        (FOLDER / "ids.json").write_text(
            "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows) + "\n]\n"
        )


if __name__ == "__main__":
    main()
