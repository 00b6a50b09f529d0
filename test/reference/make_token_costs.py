"""What texts cost in tokens, counted independently: token-costs.json.

    python test/reference/make_token_costs.py

Needs tokenizers 0.23 and regex. The ids are those of the Rust library; bytes of tokens, scripts, words and syllables are
counted here in plain Python. Two tokenizers: a byte-level one that is trained here, and that of test/fixtures/stories260K
(SentencePiece-style with byte fallback).
"""

import json
import os

import regex
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
STORIES = os.path.join(HERE, "..", "fixtures", "stories260K", "tokenizer.json")

TEXTS = [
    "옛날 옛적에 나무꾼이 살았어요. 나무꾼은 나무를 했어요!\n나무꾼은 「선녀」를 만났다. ㅋㅋ 한글 3.14",
    "The rope was long, and the ropewalk was longer: 漢字 仮名 カナ ひらがな, naïve café … 12 + 3 = 15 €\n\n🪢 done",
    "각 e\u0301 हिन्दी",
]
SCRIPTS = ["hangul", "latin", "han", "kana", "digits", "punctuation", "space", "other"]
PATTERNS = [
    ("hangul", r"\p{Script=Hangul}"),
    ("latin", r"\p{Script=Latin}"),
    ("han", r"\p{Script=Han}"),
    ("kana", r"[\p{Script=Hiragana}\p{Script=Katakana}]"),
    ("digits", r"\p{Nd}"),
    ("space", r"\p{White_Space}"),
    ("punctuation", r"[\p{P}\p{Sm}\p{Sc}\p{Sk}]"),
]


def script(character):
    return next((name for name, pattern in PATTERNS if regex.fullmatch(pattern, character)), "other")


def byte_alphabet():
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in visible]
    return {**{chr(b): b for b in visible}, **{chr(256 + i): b for i, b in enumerate(others)}}


ALPHABET = byte_alphabet()


def bytes_of(token, is_byte_level):
    if is_byte_level:
        return bytes(ALPHABET[c] for c in token)
    if regex.fullmatch(r"<0x[0-9A-F]{2}>", token):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()


def is_whole(data):
    try:
        data.decode()
        return True
    except UnicodeDecodeError:
        return False


def syllables(text):
    """Precomposed ones, those in conjoining letters, and letters that stand alone."""
    lead, vowel, tail = "\u1100-\u115f\ua960-\ua97c", "\u1160-\u11a7\ud7b0-\ud7c6", "\u11a8-\u11ff\ud7cb-\ud7fb"
    pattern = f"[\uac00-\ud7a3][{tail}]?|[{lead}]+[{vowel}]+[{tail}]*|\\p{{Script=Hangul}}"
    return len(regex.findall(pattern, text))


def size(texts):
    whole = "".join(texts)
    return {
        "bytes": len(whole.encode()),
        "characters": len(whole),
        "words": sum(len(regex.findall(r"\P{White_Space}+", text)) for text in texts),
        "syllables": sum(map(syllables, texts)),
        "scripts": {name: sum(script(c) == name for c in whole) for name in SCRIPTS},
    }


def token_costs(tokenizer, texts, is_byte_level):
    facts = size(texts)
    tokens = fallback = partial = 0
    by_script = dict.fromkeys(SCRIPTS, 0)
    for text in texts:
        spelled = tokenizer.encode(text, add_special_tokens=False).tokens
        data = [bytes_of(token, is_byte_level) for token in spelled]
        # The character that each byte belongs to.
        characters = [c for c in b"".join(data).decode() for _ in c.encode()]
        at = 0
        for token, piece in zip(spelled, data):
            tokens += 1
            fallback += not is_byte_level and regex.fullmatch(r"<0x[0-9A-F]{2}>", token) is not None
            partial += not is_whole(piece)
            scripts = [script(c) for c in characters[at : at + len(piece)]]
            by_script[next((name for name in scripts if name != "space"), "space")] += 1
            at += len(piece)

    def length(text):
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    times = {}
    for text in texts:
        for run in regex.findall(r"\P{White_Space}+", text):
            word = regex.sub(r"^[\p{P}\p{S}]+|[\p{P}\p{S}]+$", "", run)
            if word:
                times[word] = times.get(word, 0) + 1
    worst = [(word, n, length("a " + word) - length("a")) for word, n in times.items()]
    worst = [
        {"word": w, "times": n, "tokens": t, "characters": len(w), "excess": n * (t - 1)} for w, n, t in worst if t > 1
    ]
    worst.sort(key=lambda each: (-each["excess"], -each["tokens"], each["word"].encode("utf-16-be")))
    return {
        "tokens": tokens,
        "tokensPerWord": tokens / facts["words"],
        "tokensPerCharacter": tokens / facts["characters"],
        "tokensPerByte": tokens / facts["bytes"],
        "tokensPerSyllable": by_script["hangul"] / facts["syllables"],
        "scripts": {
            name: {
                "tokens": by_script[name],
                "tokensPerCharacter": by_script[name] / facts["scripts"][name] if facts["scripts"][name] else None,
            }
            for name in SCRIPTS
        },
        "unknown": 0,
        "byteFallback": fallback / tokens,
        "partial": partial / tokens,
        "worst": worst[:10],
    }


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 2, trainer)
    return tokenizer


def main():
    trained = byte_level()
    stories = Tokenizer.from_file(STORIES)
    cases = {
        "texts": TEXTS,
        "size": size(TEXTS),
        "byteLevel": {"tokenizer": json.loads(trained.to_str()), "costs": token_costs(trained, TEXTS, True)},
        "stories260K": {"costs": token_costs(stories, TEXTS, False)},
    }
    with open(os.path.join(HERE, "token-costs.json"), "w", encoding="utf-8") as file:
        json.dump(cases, file, ensure_ascii=False)
        file.write("\n")


main()
