"""Hugging Face directories that `ropewalk export` writes load in transformers: the same logits as the checkpoint that
was exported, the same token ids, the same generation settings.

    npm run build && python verify/export_hf.py [MODEL ...]
    (pip install torch==2.13.0 transformers==5.18.0)

MODEL is a Hugging Face model directory; by default every case of test/reference. In bfloat16 and float16 the logits
are compared with those of the checkpoint's weights rounded by PyTorch.

Recorded with torch 2.13.0 and transformers 5.18.0 for the 13 cases of test/reference, stories260K (a trained Llama with
a SentencePiece tokenizer) and gpt-nano-sort (a trained GPT-2), each in float32, bfloat16 and float16, in several shards:
45 lines with "logits identical: True   all weights: True   stops: True", and

    stories260K          float32   logits identical: True   all weights: True   stops: True   ids identical: True
    stories260K          bfloat16  logits identical: True   all weights: True   stops: True   ids identical: True
    stories260K          float16   logits identical: True   all weights: True   stops: True   ids identical: True
"""

import os
import subprocess
import sys
import tempfile

import torch
import transformers
from tokenizers import Tokenizer

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
REFERENCE = os.path.join(ROOT, "test", "reference")
TEXTS = ["Once upon a time", "  two  spaces\n", "밧줄을 꼬는 긴 길, naïve 🙂", "<s>[INST] x </s>"]


def load(path, dtype):
    options = dict(attn_implementation="eager", output_loading_info=True)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype, **options)
    whole = not (info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"])
    return model.to(torch.float32).eval(), whole


def same_tokens(source, out):
    file = os.path.join(source, "tokenizer.json")
    if not os.path.exists(file):
        return None
    expected = Tokenizer.from_file(file)
    loaded = transformers.AutoTokenizer.from_pretrained(out)
    return all(loaded(text)["input_ids"] == expected.encode(text).ids for text in TEXTS)


models = sys.argv[1:] or [os.path.join(REFERENCE, name) for name in sorted(os.listdir(REFERENCE))]
failed = False
for source in models:
    if not os.path.exists(os.path.join(source, "model.safetensors")):
        continue
    for dtype in ("float32", "bfloat16", "float16"):
        with tempfile.TemporaryDirectory() as scratch:
            out = os.path.join(scratch, "model")
            command = ["node", os.path.join(ROOT, "bin", "ropewalk.js"), "export", source, "--to", "hf"]
            subprocess.run(
                [*command, "--dtype", dtype, "--max-shard-size", "100KB", "--out", out], check=True, capture_output=True
            )
            original, _ = load(source, getattr(torch, dtype))
            exported, whole = load(out, "auto")
            ids = torch.arange(16).reshape(2, 8) * 7 % original.config.vocab_size
            with torch.no_grad():
                same = torch.equal(original(ids).logits, exported(ids).logits)
            tokens = same_tokens(source, out)
            stops = exported.generation_config.eos_token_id == original.generation_config.eos_token_id
            failed |= not (same and whole and stops) or tokens is False
            words = "no tokenizer" if tokens is None else f"ids identical: {tokens}"
            name = os.path.basename(os.path.normpath(source))
            print(f"{name:20} {dtype:9} logits identical: {same}   all weights: {whole}   stops: {stops}   {words}")
sys.exit(failed)
