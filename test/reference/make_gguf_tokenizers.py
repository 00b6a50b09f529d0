"""Tokenizers in GGUF files, as llama.cpp reads them: gguf-tokenizers.json.

    npm install node-llama-cpp@3.22.1          # in a folder of its own, whose path is the argument
    python test/reference/make_gguf_tokenizers.py FOLDER

Needs the Python packages gguf and tokenizers. Vocabularies are trained on the Python library's own sources and a few
sentences; each case is a file with a vocabulary and some metadata. Stored are the ids that llama.cpp gives to texts (with
special tokens recognized), the tokens that it takes for control tokens or user-defined ones, and those that end a text.
"""

import ast
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

import gguf
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
KOREAN = """안녕하세요, 세계! 오늘은 2024년 11월 26일입니다. 모델은 한국어를 읽고 씁니다. 가격은 12,345원이고 할인은 30%입니다.
서울의 인구는 약 9,411,000명이다. "그렇습니까?" 하고 그가 물었다. ㅋㅋㅋ 정말요? AI모델이 GPT처럼 동작한다.
한국어 English 섞어 쓰기: iPhone을 샀다.\n\n새 문단은 여기서 시작한다.\n  들여쓰기도 있다.
"""
TEXTS = [
    "Hello, world! It's 12345 and I'll pay $1,234.56 (about 99%).",
    "안녕하세요, 세계! 오늘은 2024년 11월 26일입니다.",
    "가격은 12,345원이고 할인은 30%입니다.  정말요?\n\n네.",
    "def f(x):\n    return x**2 + 1  # toString, HTMLParser\n\n\n\tpass\r\n",
    "DON'T we've they'RE don't 'tis O'Brien's",
    "iPhone을 샀다 AI모델이 GPT처럼 helloWorld HelloWORLD",
    "   leading and trailing   ",
    "...!!!??? --- ==> <= a/b//c \\n ~^|$+",
    "1 22 333 4444 55555 １２３ ½ Ⅷ",
    "tabs\tand\n \n mixed \r\n\r\n lines",
    "",
    " ",
    "\n",
    "ㅋㅋㅋ 정말요?  \n한국어 English 섞어 쓰기.",
]

# Words as published tokenizers cut them, by llama.cpp's names.
CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PUBLISHED = {
    "gpt-2": [],
    "smollm": [r"\p{N}"],
    "llama-bpe": [LLAMA3],
    "qwen2": [LLAMA3.replace("{1,3}", "")],
}


def sources():
    """Strings and sources, as text: prose and code."""
    texts = [KOREAN] * 20
    for path in sorted(glob.glob(os.path.join(os.path.dirname(ast.__file__), "*.py")))[:60]:
        with open(path, encoding="utf-8", errors="ignore") as file:
            texts.append(file.read()[:20000])
    numbers = random.Random(3)
    texts.append(" ".join(str(numbers.randint(0, 10 ** numbers.randint(1, 6))) for _ in range(4000)))
    texts.append(" ".join(f"{year}" for year in range(1900, 2030)) * 300)
    return texts


def train(pre, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(sources(), trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [" ".join(merge) for merge in merges]


def words(patterns):
    split = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    own = patterns in ([], [r"\p{N}"])
    return pre_tokenizers.Sequence([*split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=own)])


# Merged without regard to words, so that every border of a word shows in the ids.
ACROSS = train(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), 1400)
VOCABULARIES = {"across": ACROSS}
for name, patterns in PUBLISHED.items():
    VOCABULARIES[name] = train(words(patterns), 256 + 1100)
# A small one tells less.
VOCABULARIES["few"] = VOCABULARIES["qwen2"][:300]

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECES = ["▁", *"abcdefghijklmnopqrstuvwxyz.,!'", "▁a", "▁b", "he", "▁t", "▁the", "in", "on", "▁m", "et", "▁met", "안", "er", "st"]


def byte_level(merges, specials=()):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *dict.fromkeys(merge.replace(" ", "") for merge in merges), *specials]
    assert len(set(tokens)) == len(tokens)
    return tokens


def case(name, vocabulary, texts=(), specials=(), types=None, hide=(), **metadata):
    """`specials`: [text, type] behind the vocabulary; `types`: False leaves the key out; `metadata`: more keys."""
    return {
        "name": name, "vocabulary": vocabulary, "specials": [list(each) for each in specials],
        "types": types is not False, "metadata": metadata, "texts": list(texts),
    }


NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)
cases = []
PRE = "pre"
for name in ["gpt-2", "exaone", "exaone4", "trillion", "midm-2.0", "kanana2", "a.x-4.0", "kormo", "solar-open",
             "llama-bpe", "dbrx", "smollm", "qwen2", "qwen35", "gpt-4o", "default", "phi-2", "starcoder", "falcon3"]:
    cases.append(case(f"words of {name}", "across", TEXTS, pre=name, add_bos_token=False))
cases.append(case("no pre-tokenizer, and the vocabulary does not tell", "across", TEXTS))
cases.append(case("no pre-tokenizer, and a small vocabulary", "few", TEXTS))
for name in PUBLISHED:
    cases.append(case(f"vocabulary of {name}", name, TEXTS, pre=name, add_bos_token=False))

ENDS = ["<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
        "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
        "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~["]
OTHERS = ["<|fim_prefix|>", "<PRE>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "[PAD]", "<|repo_name|>",
          "<reponame>", "<|file_sep|>", "<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", "<|im_start|>", "<s>"]
for kind in (NORMAL, USER, CONTROL, UNUSED):
    for end in ENDS:
        cases.append(case(f"{end} of type {kind}", "few", [f"a {end}b"], [["<s>", CONTROL], [end, kind]], pre="gpt-2"))
for end in OTHERS:
    cases.append(case(f"{end} is normal", "few", [f"a {end}b"], [[end, NORMAL]], pre="gpt-2", eos_token_id=3))
    cases.append(case(f"{end} is control", "few", [f"a {end}b"], [[end, CONTROL]], pre="gpt-2", eos_token_id=3))
together = [["<|end|>", CONTROL], ["<|return|>", CONTROL], ["<|call|>", CONTROL]]
cases.append(case("<|end|> beside <|return|> and <|call|>", "few", ["a<|end|>b<|call|>"], together, pre="gpt-2", eot_token_id=557))
together = [["<|end|>", NORMAL], ["<|flush|>", NORMAL], ["<|calls|>", NORMAL]]
cases.append(case("<|end|> beside <|flush|> and <|calls|>", "few", ["a<|end|>b<|calls|>"], together, pre="gpt-2", eot_token_id=557))
together = [["</s>", CONTROL], ["<|tool_response>", CONTROL]]
cases.append(case("</s> beside <|tool_response>", "few", ["a</s>b<|tool_response>"], together, pre="gpt-2"))
cases.append(case("named ids", "few", ["a b"], [["<x>", CONTROL], ["<y>", NORMAL]], pre="gpt-2", eos_token_id=5, eot_token_id=6,
                  eom_token_id=7, fim_pad_token_id=8, fim_sep_token_id=9))

SPM = [["<unk>", UNKNOWN], ["<s>", CONTROL], ["</s>", CONTROL]]
SPM_TEXTS = ["a met\nb", "안 a", "a</s>", "<s>the one", "ü there", "<unk> a", "", "  a"]
cases.append(case("SentencePiece-style", "spm", SPM_TEXTS, SPM))
cases.append(case("SentencePiece-style without types", "spm", SPM_TEXTS, SPM, types=False))
cases.append(case("SentencePiece-style without types or prefix", "spm", SPM_TEXTS, SPM, types=False, add_space_prefix=False))
cases.append(case("SentencePiece-style with bytes of normal type", "spm", SPM_TEXTS, [*SPM, ["<x>", USER]]))
cases.append(case("byte-level without types", "few", ["a <|im_end|><x>b"], [["<|im_end|>", CONTROL], ["<x>", CONTROL]], types=False, pre="gpt-2"))
for bad in (364, 4294967295):
    for key in ("bos", "eos", "unknown", "padding", "eot"):
        cases.append(case(f"{key} is {bad}, SentencePiece-style", "spm", SPM_TEXTS, SPM, **{f"{key}_token_id": bad}))
    for key in ("bos", "padding", "eot"):
        # Without a good one, llama.cpp takes id 11 of byte-level vocabularies for the end, whatever that is.
        cases.append(case(f"{key} is {bad}, byte-level", "few", ["a b"], [["<e>", CONTROL]], pre="gpt-2", add_bos_token=False,
                          **{"eos_token_id": 556, f"{key}_token_id": bad}))


def vocabulary(each):
    if each["vocabulary"] == "spm":
        specials = [text for text, _ in each["specials"]]
        tokens = [*specials, *BYTES, *PIECES]
        byte = NORMAL if "normal type" in each["name"] else BYTE
        types = [*(kind for _, kind in each["specials"]), *[byte] * 256, *[NORMAL] * len(PIECES)]
        scores = [0.0] * (len(specials) + 256) + [-float(i) for i in range(len(PIECES))]
        return tokens, types, scores
    tokens = byte_level(VOCABULARIES[each["vocabulary"]], [text for text, _ in each["specials"]])
    return tokens, [*[NORMAL] * (len(tokens) - len(each["specials"])), *(kind for _, kind in each["specials"])], None


def write(each, path):
    tokens, types, scores = vocabulary(each)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_vocab_size(len(tokens))
    for add, value in ((writer.add_context_length, 64), (writer.add_embedding_length, 8), (writer.add_block_count, 1),
                       (writer.add_feed_forward_length, 8), (writer.add_head_count, 1), (writer.add_layer_norm_rms_eps, 1e-5),
                       (writer.add_rope_dimension_count, 8)):
        add(value)
    writer.add_tokenizer_model("llama" if scores else "gpt2")
    writer.add_token_list(tokens)
    if scores:
        writer.add_token_scores(scores)
    else:
        writer.add_token_merges(VOCABULARIES[each["vocabulary"]])
    if each["types"]:
        writer.add_token_types(types)
    for key, value in each["metadata"].items():
        add = writer.add_string if isinstance(value, str) else writer.add_bool if isinstance(value, bool) else writer.add_uint32
        add(f"tokenizer.ggml.{key}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


READ = """
import { readFileSync, writeFileSync } from 'node:fs';
import { getLlama } from 'node-llama-cpp';
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'fatal', progressLogs: false });
const list = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const results = [];
for (const { path, texts, size } of list) {
  const model = await llama.loadModel({ modelPath: path, vocabOnly: true });
  const where = (test) => Array.from({ length: size }, (_, id) => id).filter(test);
  const attribute = (name) => where((id) => model.getTokenAttributes(id)[name]);
  results.push({
    ids: texts.map((text) => Array.from(model.tokenize(text, true))),
    control: attribute('control'), userDefined: attribute('userDefined'), unknown: attribute('unknown'),
    ends: where((id) => model.isEogToken(id)), bos: model.tokens.bos, eos: model.tokens.eos,
  });
  await model.dispose();
}
writeFileSync(process.argv[3], JSON.stringify(results));
process.exit(0);
"""

folder = tempfile.mkdtemp()
listing = []
for i, each in enumerate(cases):
    path = os.path.join(folder, f"{i}.gguf")
    write(each, path)
    listing.append({"path": path, "texts": each["texts"], "size": len(vocabulary(each)[0])})
with open(os.path.join(folder, "list.json"), "w") as file:
    json.dump(listing, file)
script = os.path.join(sys.argv[1], "read-tokenizers.mjs")
with open(script, "w") as file:
    file.write(READ)
subprocess.run(["node", script, os.path.join(folder, "list.json"), os.path.join(folder, "out.json")], check=True)
with open(os.path.join(folder, "out.json")) as file:
    results = json.load(file)
compact = dict(ensure_ascii=False, separators=(",", ":"))
with open(os.path.join(HERE, "gguf-tokenizers.json"), "w") as file:
    lines = []
    for each, result in zip(cases, results):
        result["texts"] = [[text, ids] for text, ids in zip(each["texts"], result.pop("ids"))]
        shown = {**each, **result}
        if shown["texts"] and [text for text, _ in shown["texts"]] == TEXTS:
            shown["texts"] = [ids for _, ids in shown["texts"]]
        lines.append(json.dumps(shown, **compact))
    body = ",\n".join(lines)
    file.write(
        f'{{"texts":{json.dumps(TEXTS, **compact)},\n"pieces":{json.dumps(PIECES, **compact)},\n'
        f'"merges":{json.dumps(VOCABULARIES, **compact)},\n"cases":[\n{body}\n]}}\n'
    )
print(len(cases), "cases")
