"""Added tokens in all the files where they may stand, as transformers' AutoTokenizer joins them: added-tokens.json.

    python test/reference/make_added_tokens.py

Needs transformers 5.18. Two small tokenizers (byte-level, and SentencePiece-style with a normalizer) are put beside
hand-made and random tokenizer_config.json, added_tokens.json and special_tokens_map.json; stored are the added tokens
that come out, the named ones, and the ids and texts of a few strings.
"""

import json
import os
import random
import shutil
import tempfile

from transformers import AutoTokenizer
from transformers.utils import logging

logging.set_verbosity_error()
HERE = os.path.dirname(os.path.abspath(__file__))
CLASS = {"tokenizer_class": "PreTrainedTokenizerFast"}


def token(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, **flags}


def added(id, content, **flags):
    return {"id": id, **token(content, **flags)}


def byte_level():
    pieces = ["<s>", "</s>", "\u0120", "\u010a"] + [chr(c) for c in range(33, 127)]
    merges = [["u", "s"], ["us", "e"], ["use", "r"], ["h", "i"], ["\u0120", "hi"]]
    pieces += [a + b for a, b in merges]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(0, "<s>", special=True), added(1, "</s>", special=True)],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": {p: i for i, p in enumerate(pieces)}, "merges": merges},
    }


def sentence_piece():
    pieces = ["<unk>", "<s>", "</s>", "\u2581"] + [f"<0x{b:02X}>" for b in range(256)]
    pieces += [chr(c) for c in range(33, 127)]
    merges = [["u", "s"], ["us", "e"], ["use", "r"], ["h", "i"], ["\u2581", "hi"]]
    pieces += [a + b for a, b in merges]
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    back = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(i, pieces[i], special=True) for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, space]},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [back, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}],
        },
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {p: i for i, p in enumerate(pieces)},
            "merges": merges,
        },
    }


BASES = {"byte-level": byte_level(), "sentence-piece": sentence_piece()}
NEXT = {name: len(base["model"]["vocab"]) for name, base in BASES.items()}
TEXTS = ["<|im_start|>user\nhi<|im_end|>", "a <s>hi</s> user <extra> <pad>b", " <|im_end|> <extra>x hi<tool>user <pad> "]

STARTS = token("<|im_start|>", special=True)
ENDS = token("<|im_end|>", special=True)


def hand_made():
    """(name, base, config, added_tokens, special_tokens_map)"""
    n = NEXT["byte-level"]
    old = {"0": token("<s>", special=True), "1": token("</s>", special=True)}
    byte = "byte-level"
    yield "only in added_tokens_decoder", byte, {
        **CLASS,
        "added_tokens_decoder": {**old, str(n): STARTS, str(n + 1): ENDS},
        "eos_token": "<|im_end|>",
    }, None, None
    yield "only in added_tokens.json", byte, CLASS, {"<|im_start|>": n, "<|im_end|>": n + 1, "<extra>": n + 2}, None
    yield "only in special_tokens_map.json", byte, CLASS, None, {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>", "<extra>"]}
    yield "special_tokens_map.json without tokenizer_config.json", byte, None, None, {"eos_token": token("<|im_end|>"), "pad_token": "<pad>"}
    yield "only additional_special_tokens", byte, {**CLASS, "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}, None, None
    yield "extra_special_tokens by name", byte, {**CLASS, "extra_special_tokens": {"tool_token": "<tool>"}, "image_token": "<extra>"}, None, None
    yield "a named token of the vocabulary becomes special", byte, {**CLASS, "eos_token": "user"}, None, None
    yield "special_tokens_map.json wins over tokenizer_config.json", byte, {**CLASS, "eos_token": "</s>", "pad_token": "<pad>"}, None, {"eos_token": "<|im_end|>"}
    yield "added_tokens_decoder makes it count for nothing", byte, {**CLASS, "eos_token": "</s>", "added_tokens_decoder": old}, {"<extra>": n}, {"eos_token": "<|im_end|>"}
    yield "flags of added_tokens_decoder win", byte, {
        **CLASS,
        "added_tokens_decoder": {"0": token("<s>", special=True, lstrip=True), "1": token("</s>", rstrip=True, normalized=True)},
        "eos_token": "</s>",
    }, None, None
    yield "ids of added_tokens_decoder are places in a queue", byte, {
        **CLASS,
        "added_tokens_decoder": {str(n + 50): ENDS, str(n + 7): STARTS, "5": token("<extra>")},
    }, None, None
    yield "added_tokens.json is not special by additional_special_tokens of the map", byte, CLASS, {"<extra>": n}, {"additional_special_tokens": ["<extra>"], "eos_token": "<|im_end|>"}
    yield "added_tokens.json is special by tokenizer_config.json", byte, {**CLASS, "additional_special_tokens": ["<extra>"]}, {"<extra>": n, "<tool>": n + 1}, None
    yield "objects with __type", byte, {**CLASS, "eos_token": {"__type": "AddedToken", **token("<|im_end|>", lstrip=True)}, "pad_token": {"__type": "AddedToken", "content": "<pad>"}}, None, None
    yield "normalized", "sentence-piece", {**CLASS, "eos_token": "</s>"}, {"<extra>": 400, "<tool>": 401, "<pad>": 402}, None
    yield "SentencePiece-style, named", "sentence-piece", {**CLASS, "eos_token": "<|im_end|>", "pad_token": "<pad>"}, None, {"additional_special_tokens": ["<|im_start|>"]}
    yield "null names", byte, {**CLASS, "eos_token": "<|im_end|>", "pad_token": None}, None, {"eos_token": None, "bos_token": "<s>"}


def random_cases(count):
    rng = random.Random(8)
    contents = ["<|im_start|>", "<|im_end|>", "<extra>", "<pad>", "<tool>", "<s>", "</s>", "user", "hi"]
    names = ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "mask_token", "image_token", "tool_token"]
    flag = lambda: rng.random() < 0.3

    def flags(content):
        return token(content, lstrip=flag(), rstrip=flag(), normalized=flag(), special=flag())

    for i in range(count):
        base = rng.choice(list(BASES))
        config, special = dict(CLASS), {}
        for field in rng.sample(names, rng.randint(0, 4)):
            content = rng.choice(contents)
            config[field] = {"__type": "AddedToken", **flags(content)} if field in names[:6] and flag() else content
        for field in rng.sample(names, rng.randint(0, 3)):
            content = rng.choice(contents)
            special[field] = token(content, lstrip=flag(), normalized=flag()) if flag() else content
        for fields in (config, special):
            for field in ("additional_special_tokens", "extra_special_tokens"):
                if flag():
                    fields[field] = rng.sample(contents, rng.randint(0, 3))
        if rng.random() < 0.4:
            ids = rng.sample(range(NEXT[base] + 12), 4)
            config["added_tokens_decoder"] = {str(id): flags(content) for id, content in zip(ids, rng.sample(contents, 4))}
        known = [(NEXT[base] + k, content) for k, content in enumerate(rng.sample(contents[:5], 3))]
        yield f"random {i}", base, config, ({content: id for id, content in known} if flag() else None), (special if flag() else None)


def read(base, config, added_tokens, special_tokens_map):
    folder = tempfile.mkdtemp()
    files = {
        "config.json": {"model_type": "llama"},
        "tokenizer.json": BASES[base],
        "tokenizer_config.json": config,
        "added_tokens.json": added_tokens,
        "special_tokens_map.json": special_tokens_map,
    }
    for name, value in files.items():
        if value is not None:
            with open(os.path.join(folder, name), "w") as file:
                json.dump(value, file)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    finally:
        shutil.rmtree(folder)
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    texts = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False)
        texts.append([text, ids, tokenizer.decode(ids)])
    return state["added_tokens"], {k: str(v) for k, v in tokenizer.special_tokens_map.items()}, texts


cases, failed = [], 0
for name, base, config, added_tokens, special_tokens_map in [*hand_made(), *random_cases(80)]:
    try:
        tokens, named, texts = read(base, config, added_tokens, special_tokens_map)
    except (TypeError, ValueError) as error:
        failed += 1
        print(name, "fails in transformers:", str(error)[:100])
        continue
    cases.append({
        "name": name, "base": base, "config": config, "addedTokens": added_tokens, "specialTokensMap": special_tokens_map,
        "tokens": tokens, "named": named, "texts": texts,
    })
with open(os.path.join(HERE, "added-tokens.json"), "w") as file:
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
    bases = json.dumps(BASES, ensure_ascii=False, separators=(",", ":"))
    file.write(f'{{"bases":{bases},\n"cases":[\n{lines}\n]}}\n')
print(len(cases), "cases,", failed, "fail in transformers")
