"""Llama files that lack some of their biases, as llama.cpp runs them: gguf-biases.json.

    npm install node-llama-cpp@3.22.1          # in a folder of its own, whose path is the argument
    python test/reference/make_gguf_biases.py FOLDER

The reference case llama-bias is written without the biases that each case names, and stored are the ids that llama.cpp
then finds the likeliest one after another.
"""

import json
import os
import sys
import tempfile

from gguf_llama import HERE, likeliest, write

CASES = {
    "none is missing": [],
    "the output's": ["attn_output"],
    "all but the queries'": ["attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"],
    "the first layer's": ["blk.0"],
    "all of attention": ["attn_q", "attn_k", "attn_v", "attn_output"],
    "all of the MLP but one": ["ffn_gate", "ffn_up", "blk.0.ffn_down"],
}
PROMPT = [5, 17, 33, 3, 42, 7, 7, 12]

folder = tempfile.mkdtemp()
paths = [os.path.join(folder, f"{i}.gguf") for i in range(len(CASES))]
for path, missing in zip(paths, CASES.values()):
    write(path, "llama-bias", missing=missing)
results = likeliest(sys.argv[1], paths, PROMPT)
cases = [{"name": name, "missing": missing, "ids": ids} for (name, missing), ids in zip(CASES.items(), results)]
with open(os.path.join(HERE, "gguf-biases.json"), "w") as file:
    json.dump({"prompt": PROMPT, "cases": cases}, file, indent=1)
    file.write("\n")
for each in cases:
    print(each["name"], each["ids"])
