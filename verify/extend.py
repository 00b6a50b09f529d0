"""The extended model of verify/extend.ts in transformers: ids, logits of old tokens, generation.

    python verify/extend.py MODEL OUT

Needs torch 2.13, transformers 5.18. MODEL is the model before, OUT the folder that verify/extend.ts wrote.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

before, out = sys.argv[1:]
after = f"{out}/extended"

tokenizer = AutoTokenizer.from_pretrained(after)
old = AutoTokenizer.from_pretrained(before)
with open(f"{out}/ids.json", encoding="utf-8") as file:
    cases = json.load(file)["texts"]
for case in cases:
    ids = tokenizer(case["text"])["input_ids"]
    print(f"{len(ids)} ids: {'the same' if ids == case['ids'] else 'DIFFERENT'}")
    decoded = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    print(f"  decoded: {'the text' if decoded == case['text'] else 'ANOTHER TEXT'}")

model, small = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval() for path in (after, before))
print(f"vocab_size {small.config.vocab_size} -> {model.config.vocab_size}, tokenizer {len(old)} -> {len(tokenizer)}")
assert model.get_input_embeddings().weight.shape[0] == model.config.vocab_size == len(tokenizer)

english = torch.tensor([cases[1]["ids"][:256]])
with torch.no_grad():
    a, b = small(english).logits[0], model(english).logits[0]
count = small.config.vocab_size
print(f"English, logits of old tokens: largest difference {(a - b[:, :count]).abs().max().item()}")
target = english[0, 1:]
losses = [torch.nn.functional.cross_entropy(each[:-1].double(), target).item() for each in (a, b[:, :count], b)]
print(f"English, loss: {losses[0]} before; {losses[1]} after over old tokens; {losses[2]} after over all tokens")

korean = torch.tensor([cases[0]["ids"][:64]])
with torch.no_grad():
    generated = model.generate(korean, max_new_tokens=8, do_sample=False)
print("generates:", tokenizer.decode(generated[0, 64:]).encode("unicode_escape").decode()[:80])
