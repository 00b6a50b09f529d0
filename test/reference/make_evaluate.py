"""
What lm-evaluation-harness 0.4.13 makes of the tasks in evaluate/tasks with its `hf` model: every prompt, log-likelihood,
text, metric and standard error. Writes evaluate/expected.json.

    pip install lm_eval[hf]==0.4.13 torch==2.13.0 transformers==5.18.0 datasets scikit-learn
    python make_evaluate.py
"""

import json
import math
import pathlib

import datasets
import torch
import transformers
from lm_eval import evaluator
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE / "evaluate"
MODEL = HERE.parent / "fixtures" / "stories260K"
LOCAL = {"local/stories": FOLDER / "data"}

real_load = datasets.load_dataset


def load_local(path, name=None, **kwargs):
    """Data sets of tasks from the files beside this script, as --data NAME=FOLDER names them."""
    folder = LOCAL[path]
    files = {f.name.split(".")[0]: str(f) for f in sorted(folder.glob("*.jsonl"))}
    return real_load("json", data_files=files)


datasets.load_dataset = load_local


def plain(value):
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


RUNS = [
    {"name": "plain", "tasks": "plain", "limit": None},
    {"name": "shots", "tasks": "plain", "limit": 4, "num_fewshot": 2},
    {"name": "chat", "tasks": "chat", "limit": 5, "num_fewshot": 2, "apply_chat_template": True, "fewshot_as_multiturn": True},
    {"name": "chat-single", "tasks": "chat", "limit": 3, "num_fewshot": 2, "apply_chat_template": True, "fewshot_as_multiturn": False, "system_instruction": "Be kind."},
]

PLAIN = ["choice", "choice_list", "choice_input", "choice_target_list", "cloze", "rolling", "generate", "generate_filters", "drawn_shots", "stories_group"]
CHAT = ["choice", "generate", "prefix", "described"]


def main():
    torch.set_num_threads(2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL, bos_token="<s>", eos_token="</s>")
    lm = HFLM(pretrained=str(MODEL), tokenizer=tokenizer, dtype="float32", device="cpu", batch_size=4)
    lm.tokenizer.chat_template = (FOLDER / "chat_template.jinja").read_text()
    manager = TaskManager(include_path=str(FOLDER / "tasks"), include_defaults=False)
    result = {}
    for run in RUNS:
        settings = dict(run)
        name = settings.pop("name")
        tasks = PLAIN if settings.pop("tasks") == "plain" else CHAT
        if name == "shots":
            tasks = [t for t in tasks if t not in ("rolling", "stories_group", "choice_target_list")]
        out = evaluator.simple_evaluate(model=lm, tasks=tasks, task_manager=manager, bootstrap_iters=1000, **settings)
        result[name] = {
            "results": {
                task: {k: plain(v) for k, v in values.items() if k not in ("name", "alias", "sample_count")}
                for task, values in out["results"].items()
            },
            "samples": {
                task: [
                    {
                        "item": one["doc_id"],
                        "filter": one["filter"],
                        "arguments": [[a for a in args if isinstance(a, str)] for args in plain(one["arguments"])],
                        "answers": plain([r[0] for r in one["resps"]]),
                        "filtered": plain(one["filtered_resps"]),
                        "scores": {m: plain(one[m]) for m in one["metrics"]},
                    }
                    for one in samples
                ]
                for task, samples in out["samples"].items()
            },
        }
    (FOLDER / "expected.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
