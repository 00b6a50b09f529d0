"""Writes sampling.json: what transformers' logits processors leave of random logits. Needs torch and transformers."""

import itertools
import json
import pathlib

import torch
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, __version__

VOCAB = 14
model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_embd=4, n_layer=1, n_head=1))
torch.manual_seed(0)
cases = []
grid = itertools.product([None, 0.4, 1.7], [None, 3, 50], [None, 0.35, 0.9], [None, 0.2], [None, 1.4, 0.7])
for number, (temperature, top_k, top_p, min_p, penalty) in enumerate(grid):
    if number % 4:
        continue
    logits = torch.randn(1, VOCAB) * 2
    seen = torch.randint(VOCAB, (1, 5))
    options = {"temperature": temperature, "topK": top_k, "topP": top_p, "minP": min_p, "repetitionPenalty": penalty}
    settings = {
        "temperature": temperature,
        "top_k": top_k if top_k is not None else 0,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": penalty,
    }
    config = GenerationConfig(do_sample=True, **{name: value for name, value in settings.items() if value is not None})
    # The order of the steps is transformers' own.
    processors = model._get_logits_processor(config, input_ids_seq_length=5, device="cpu")
    scores = processors(seen, logits.clone())
    cases.append(
        {
            "options": {name: value for name, value in options.items() if value is not None},
            "seen": seen[0].tolist(),
            "logits": logits[0].tolist(),
            "probabilities": [round(p, 9) for p in scores.double().softmax(-1)[0].tolist()],
        }
    )
text = json.dumps({"transformers": __version__, "torch": torch.__version__, "cases": cases})
pathlib.Path(__file__).with_name("sampling.json").write_text(text + "\n")
print(len(cases), "cases")
