"""Directories that Ropewalk saved load in transformers with identical logits.

    node scripts/run-ts.js verify/roundtrip.ts OUT && python verify/roundtrip.py OUT
    (pip install torch==2.13.0 transformers==5.18.0)

Recorded with torch 2.13.0 and transformers 5.18.0:

    gemma                logits identical: True   no missing or unexpected weights: True
    gemma-mha            logits identical: True   no missing or unexpected weights: True
    gemma2               logits identical: True   no missing or unexpected weights: True
    gemma2-nocap         logits identical: True   no missing or unexpected weights: True
    gpt                  logits identical: True   no missing or unexpected weights: True
    gpt-eps              logits identical: True   no missing or unexpected weights: True
    gpt2                 logits identical: True   no missing or unexpected weights: True
    gpt2-untied          logits identical: True   no missing or unexpected weights: True
    llama                logits identical: True   no missing or unexpected weights: True
    llama-bias           logits identical: True   no missing or unexpected weights: True
    llama-mqa            logits identical: True   no missing or unexpected weights: True
    llama-rope-scaled    logits identical: True   no missing or unexpected weights: True
    llama-untied         logits identical: True   no missing or unexpected weights: True
"""

import os
import sys

import torch
import transformers
from safetensors.torch import load_file

out = sys.argv[1]
reference = os.path.join(os.path.dirname(__file__), "..", "test", "reference")
failed = False
for case in sorted(os.listdir(out)):
    path = os.path.join(out, case)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        path, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
    )
    original = transformers.AutoModelForCausalLM.from_pretrained(
        os.path.join(reference, case), attn_implementation="eager", dtype=torch.float32
    )
    ids = load_file(os.path.join(reference, case, "expected.safetensors"))["ids"]
    with torch.no_grad():
        same = torch.equal(model.eval()(ids).logits, original.eval()(ids).logits)
    clean = not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    failed |= not (same and clean)
    print(f"{case:20} logits identical: {same}   no missing or unexpected weights: {clean}")
sys.exit(failed)
