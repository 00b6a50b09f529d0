"""Writes generation-config.json: what transformers' generate() takes from a model's configuration files, and the ids
that it then writes where nothing is left to chance. Needs torch and transformers; run it beside the reference cases."""

import json
import pathlib
import shutil
import tempfile

import torch
from transformers import AutoModelForCausalLM, __version__

HERE = pathlib.Path(__file__).resolve().parent
MODEL, PROMPT, TOKENS = "llama-mqa", [1, 5, 17, 5, 40], 16
FIELDS = ["do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty"]

# name -> (generation_config.json or None, fields of config.json, whether nothing is left to chance)
CASES = {
    "cold draw with a penalty": (
        {"do_sample": True, "temperature": 0.01, "top_k": 1, "repetition_penalty": 1.2},
        {},
        True,
    ),
    "greedy": ({"do_sample": False}, {}, True),
    "greedy with a penalty": ({"repetition_penalty": 1.3}, {}, True),
    "greedy, whatever the temperature": ({"do_sample": False, "temperature": 0.0, "top_p": 0.4}, {}, True),
    "settings without do_sample": ({"temperature": 0.6, "top_p": 0.9}, {}, True),
    "a penalty below 1": ({"repetition_penalty": 0.7, "do_sample": False}, {}, True),
    "one token left by top-p": ({"do_sample": True, "top_p": 1e-6}, {}, True),
    "one token left by min-p": ({"do_sample": True, "min_p": 1.0, "top_k": 0}, {}, True),
    "draws": ({"do_sample": True}, {}, False),
    "draws from all": ({"do_sample": True, "top_k": 0}, {}, False),
    "draws, nulls": ({"do_sample": True, "temperature": None, "top_k": None, "top_p": None}, {}, False),
    "Llama 3.2's": ({"do_sample": True, "temperature": 0.6, "top_p": 0.9}, {}, False),
    "Qwen's": (
        {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05},
        {},
        False,
    ),
    "min_p": ({"do_sample": True, "min_p": 0.05, "temperature": 1.5}, {}, False),
    "in config.json": (None, {"do_sample": True, "temperature": 0.5, "top_k": 3}, False),
    "in config.json, beside a file": ({"eos_token_id": 2, "do_sample": False}, {"do_sample": True, "top_k": 3}, True),
}


def main():
    cases = []
    for name, (generation, fields, certain) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            shutil.copy(HERE / MODEL / "model.safetensors", path)
            config = json.loads((HERE / MODEL / "config.json").read_text())
            (path / "config.json").write_text(json.dumps({**config, **fields}))
            if generation is not None:
                (path / "generation_config.json").write_text(json.dumps(generation))
            model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
            read, _ = model._prepare_generation_config(None)
            case = {"name": name, "generation": generation, "config": fields}
            case["read"] = {field: getattr(read, field) for field in FIELDS}
            if certain:
                ids = torch.tensor([PROMPT])
                made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, eos_token_id=95)
                case["ids"] = made[0, len(PROMPT) :].tolist()
            cases.append(case)
    result = {"transformers": __version__, "model": MODEL, "prompt": PROMPT, "cases": cases}
    (HERE / "generation-config.json").write_text(json.dumps(result, indent=1) + "\n")
    print(len(cases), "cases")


main()
