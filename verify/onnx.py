"""Exported ONNX passes the checker with strict shape inference, and gives the logits of transformers in ONNX Runtime
and in ONNX's own reference evaluator: whole, through the caches, and past every window.

    npm run build && python verify/onnx.py
    (pip install onnx==1.23.2 onnxruntime==1.32.0 safetensors numpy)

Printed are max |difference| / max |logit| against test/reference, where transformers 5.18.0 computed the logits. Recorded
with onnx 1.23.2 and onnxruntime 1.32.0:

    case                 opset  operators  onnxruntime: whole    1 by 1    3 by 3   evaluator: whole    3 by 3
    gemma                   20        168             2.8e-07   2.8e-07   2.8e-07            2.1e-07   2.1e-07
    gemma-mha               20        163             2.3e-07   2.3e-07   2.3e-07            2.3e-07   2.1e-07
    gemma2                  20        384             7.7e-07   7.7e-07   7.7e-07            9.8e-07   9.2e-07
    gemma2-nocap            20        207             3.0e-07   3.0e-07   3.0e-07            2.6e-07   3.0e-07
    gpt                     18        131             1.7e-07   1.7e-07   1.7e-07            2.1e-07   1.7e-07
    gpt-eps                 18         96             2.6e-07   2.0e-07   2.6e-07            2.3e-07   2.0e-07
    gpt2                    20         92             6.5e-07   7.8e-07   6.5e-07            5.3e-07   5.8e-07
    gpt2-untied             20         88             3.1e-07   3.2e-07   3.1e-07            3.4e-07   4.2e-07
    llama                   18        164             7.5e-07   7.5e-07   7.5e-07            8.5e-07   9.5e-07
    llama-bias              18        178             5.2e-07   5.2e-07   5.2e-07            9.3e-07   1.2e-06
    llama-mqa               18        164             9.0e-07   9.0e-07   9.0e-07            9.7e-07   1.1e-06
    llama-rope-scaled       18        164             2.1e-06   2.1e-06   2.1e-06            1.8e-06   1.6e-06
    llama-untied            18        160             6.8e-07   6.8e-07   6.8e-07            7.7e-07   6.5e-07
    all within 2e-5
"""

import os
import subprocess
import sys
import tempfile

sys.path.pop(0)  # this folder, in which this file would hide the package of its name

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import load_file

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
REFERENCE = os.path.join(ROOT, "test", "reference")
BOUND = 2e-5


def plain(ids, start, end):
    """The inputs of tokens start … end, all of them real."""
    batch = len(ids)
    return {
        "input_ids": ids[:, start:end],
        "attention_mask": np.ones((batch, end), np.int64),
        "position_ids": np.tile(np.arange(start, end), (batch, 1)),
    }


def through_caches(run, graph, ids, chunk):
    batch, time = ids.shape
    names = [output.name for output in graph.output]
    caches = {}
    for value in graph.input:
        if value.name.startswith("past_key_values."):
            _, kv, _, dim = (d.dim_value for d in value.type.tensor_type.shape.dim)
            caches[value.name] = np.zeros((batch, kv, 0, dim), np.float32)
    rows = []
    for start in range(0, time, chunk):
        results = dict(zip(names, run({**plain(ids, start, min(time, start + chunk)), **caches})))
        rows.append(results["logits"])
        caches = {name: results[name.replace("past_key_values", "present")] for name in caches}
    return np.concatenate(rows, axis=1)


def runners(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    evaluator = ReferenceEvaluator(onnx.load(path))
    return [lambda feeds: session.run(None, feeds), lambda feeds: evaluator.run(None, feeds)]


print(f"{'case':20}{'opset':>6}{'operators':>11}  onnxruntime: whole    1 by 1    3 by 3   evaluator: whole    3 by 3")
failed = False
for case in sorted(os.listdir(REFERENCE)):
    source = os.path.join(REFERENCE, case)
    if not os.path.exists(os.path.join(source, "expected.safetensors")):
        continue
    expected = load_file(os.path.join(source, "expected.safetensors"))
    ids, logits = expected["ids"], expected["logits"]
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, case)
        command = ["node", os.path.join(ROOT, "bin", "ropewalk.js"), "export", source, "--to", "onnx"]
        subprocess.run([*command, "--cache", "both", "--out", out], check=True, capture_output=True)
        cached, whole = (os.path.join(out, "onnx", f) for f in ("model.onnx", "model_no_cache.onnx"))
        for path in (cached, whole):
            onnx.checker.check_model(path, full_check=True)
        model = onnx.load(cached, load_external_data=False)
        domains = {node.domain for node in model.graph.node} | {entry.domain for entry in model.opset_import}
        errors = []
        for engine, (run_cached, run_whole) in enumerate(zip(runners(cached), runners(whole))):
            results = [run_whole(plain(ids, 0, ids.shape[1]))[0]]
            results += [through_caches(run_cached, model.graph, ids, n) for n in ((1, 3) if engine == 0 else (3,))]
            errors += [abs(result - logits).max() / abs(logits).max() for result in results]
    failed |= max(errors) > BOUND or domains != {""}
    text = [f"{error:.1e}" for error in errors]
    opset = model.opset_import[0].version
    print(f"{case:20}{opset:>6}{len(model.graph.node):>11}{text[0]:>20}{text[1]:>10}{text[2]:>10}{text[3]:>19}{text[4]:>10}")
print("failed" if failed else "all within 2e-5")
sys.exit(failed)
