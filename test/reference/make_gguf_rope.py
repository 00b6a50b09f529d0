"""Llama files whose metadata say in several ways how RoPE is scaled, as llama.cpp runs them: gguf-rope.json.

    npm install node-llama-cpp@3.22.1          # in a folder of its own, whose path is the argument
    python test/reference/make_gguf_rope.py FOLDER

The reference case llama is written with the settings that each case names, and stored are the ids that llama.cpp then
finds the likeliest one after another.
"""

import json
import os
import sys
import tempfile

from gguf_llama import HERE, likeliest, write

TYPE, FACTOR, OLD, LENGTH = (
    "llama.rope.scaling.type",
    "llama.rope.scaling.factor",
    "llama.rope.scale_linear",
    "llama.rope.scaling.original_context_length",
)
CASES = {
    "none": {},
    "a factor without a type": {FACTOR: 4.0},
    "linear, with its type": {TYPE: "linear", FACTOR: 4.0},
    "the old key": {OLD: 4.0},
    "the old key with a type": {TYPE: "linear", OLD: 2.5},
    "both keys": {FACTOR: 2.5, OLD: 4.0},
    "a factor of 1": {FACTOR: 1.0},
    "a factor of 0": {FACTOR: 0.0},
    "linear, a factor of 1": {TYPE: "linear", FACTOR: 1.0},
    "linear, no factor": {TYPE: "linear"},
    "a factor below 1": {FACTOR: 0.5},
    "none, with a factor": {TYPE: "none", FACTOR: 4.0},
    "yarn": {TYPE: "yarn", FACTOR: 4.0, LENGTH: 16},
    "yarn without a length": {TYPE: "yarn", FACTOR: 8.0},
    "yarn with a factor of attention": {TYPE: "yarn", FACTOR: 4.0, LENGTH: 16, "llama.rope.scaling.attn_factor": 0.6},
    "yarn with bounds, which are not read": {
        **{TYPE: "yarn", FACTOR: 4.0, LENGTH: 16},
        **{"llama.rope.scaling.yarn_beta_fast": 4.0, "llama.rope.scaling.yarn_beta_slow": 0.01},
    },
}
# Longer than the original length of yarn.
PROMPT = [5, 17, 33, 3, 42, 7, 7, 12, 61, 44, 8, 9, 23, 90, 4, 5, 33, 71, 20, 11]

folder = tempfile.mkdtemp()
paths = [os.path.join(folder, f"{i}.gguf") for i in range(len(CASES))]
for path, settings in zip(paths, CASES.values()):
    write(path, "llama", settings=settings)
results = likeliest(sys.argv[1], paths, PROMPT, 12)
cases = [{"name": name, "settings": settings, "ids": ids} for (name, settings), ids in zip(CASES.items(), results)]
with open(os.path.join(HERE, "gguf-rope.json"), "w") as file:
    file.write(json.dumps({"prompt": PROMPT, "cases": cases}).replace('{"name"', '\n{"name"') + "\n")
for each in cases:
    print(each["name"], each["ids"])
