"""
The numbers of `ropewalk evaluate` beside those of lm-evaluation-harness 0.4.13 with its `hf` model in float32: twelve tasks
of all four output types, few-shot, with and without a chat template. Rows are made here; task files are the harness's own
where they need no Python, and those of verify/evaluate-tasks. Prints what is recorded in evaluate.txt.

    pip install lm_eval[hf]==0.4.13 torch==2.13.0 transformers==5.18.0 datasets scikit-learn
    npm run build
    python verify/evaluate.py MODEL_DIRECTORY TEXT_FOLDER WORK_FOLDER --limit 100

TEXT_FOLDER has lambada-test.jsonl (https://huggingface.co/datasets/cimec/lambada), tinystories-1000.json and
korean-fairy-tales.txt; MODEL_DIRECTORY a model with a chat template, such as SmolLM2-135M-Instruct.
"""

import argparse
import json
import pathlib
import random
import subprocess
import time

import datasets
import lm_eval
import torch
from lm_eval import evaluator
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
TASKS = pathlib.Path(lm_eval.__file__).parent / "tasks"
REAL = datasets.load_dataset

RUNS = {
    "as the tasks say": (
        {},
        ["kmmlu_accounting", "kmmlu_direct_accounting", "haerae_general_knowledge", "haerae_history", "lambada_openai", "arc_easy",
         "gsm8k", "story_endings", "kobest_boolq_form", "kobest_copa_form", "fairy_tales", "answer_begun"],
    ),
    "two examples": ({"shots": 2}, ["kmmlu_accounting", "arc_easy", "kobest_copa_form"]),
    "chat template, two examples": ({"shots": 2, "chat": True}, ["kmmlu_accounting", "kmmlu_direct_accounting", "kobest_boolq_form", "answer_begun"]),
}
FILES = {
    "kmmlu_accounting": "kmmlu/default/kmmlu_accounting.yaml",
    "kmmlu_direct_accounting": "kmmlu/direct/kmmlu_direct_accounting.yaml",
    "haerae_general_knowledge": "haerae/haerae_gk.yaml",
    "haerae_history": "haerae/haerae_hi.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "gsm8k": "gsm8k/gsm8k.yaml",
}
PLACES = {
    "HAERAE-HUB/KMMLU": "kmmlu", "HAERAE-HUB/HAE_RAE_BENCH": "haerae", "EleutherAI/lambada_openai": "lambada", "allenai/ai2_arc": "arc",
    "openai/gsm8k": "gsm8k", "verify/stories": "stories", "verify/boolq": "boolq", "verify/copa": "copa", "verify/tales": "tales",
}


def write(folder, name, splits):
    (folder / name).mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / name / f"{split}.jsonl").write_text(text)


def make_rows(texts, folder, count):
    """Rows in the form of each data set, from texts and from sums; equal on every machine."""
    rnd = random.Random(7)
    people = ["민수", "영희", "철수", "지은", "하늘", "바다"]
    things = ["사과", "연필", "구슬", "책", "빵", "꽃"]

    def kmmlu(i):
        a, b = rnd.randrange(2, 60), rnd.randrange(2, 60)
        options = rnd.sample([a + b, a + b + 1, a + b - 2, a + b + 10], 4)
        who, what = rnd.choice(people), rnd.choice(things)
        return {"question": f" {who}는 {what} {a}개를 가지고 있었는데 {b}개를 더 얻었다. {what}는 모두 몇 개인가? ", **dict(zip("ABCD", map(str, options))),
                "answer": options.index(a + b) + 1}

    write(folder, "kmmlu", {"test": [kmmlu(i) for i in range(count)], "dev": [kmmlu(i) for i in range(5)]})
    tales = [" ".join(p.split()) for p in (texts / "korean-fairy-tales.txt").read_text().split("\n\n") if len(p) > 120]
    sentences = [t.split(". ")[0][:80] for t in tales]

    def haerae(i):
        options = [s[:16] for s in rnd.sample(sentences, 5)]
        answer = rnd.randrange(5)
        tale = tales[i % len(tales)]
        options[answer] = tale[30:46]
        listed = "\n".join(f"({letter}) {o}" for letter, o in zip("ABCDE", options))
        return {"query": f"다음 글에 이어지는 것을 고르시오.\n### 글: {tale[:30]}\n### 선택지:\n{listed}\n### 정답:", "options": options, "answer": f"({'ABCDE'[answer]})"}

    for subset in ("general_knowledge", "history"):
        write(folder, f"haerae/{subset}", {"test": [haerae(i) for i in range(count)]})
    lambada = [json.loads(line) for line in (texts / "lambada-test.jsonl").open()][:count]
    write(folder, "lambada", {"test": lambada})

    def arc(i):
        a, b = rnd.randrange(2, 30), rnd.randrange(2, 30)
        options = rnd.sample([a * b, a * b + 3, a + b, a * b - a], 4)
        labels = list("ABCD") if i % 3 else list("1234")
        return {"id": str(i), "question": f"A box has {a} rows of {b} apples. How many apples are in the box?",
                "choices": {"text": [f"{o} apples" for o in options], "label": labels}, "answerKey": labels[options.index(a * b)]}

    write(folder, "arc/ARC-Easy", {"train": [arc(i) for i in range(20)], "validation": [arc(i) for i in range(3)], "test": [arc(i) for i in range(count)]})

    def gsm(i):
        a, b, c = rnd.randrange(2, 20), rnd.randrange(2, 20), rnd.randrange(2, 9)
        return {"question": f"Ann has {a} pens and buys {c} boxes of {b} pens. How many pens does she have now?",
                "answer": f"She buys {c} * {b} = {c * b} pens.\nShe has {a} + {c * b} = {a + c * b} pens.\n#### {a + c * b}"}

    write(folder, "gsm8k", {"train": [gsm(i) for i in range(30)], "test": [gsm(i) for i in range(count)]})
    stories = [s["story"] if isinstance(s, dict) else s for s in json.loads((texts / "tinystories-1000.json").read_text())]
    parts = [[p for p in " ".join(s.split()).split(". ") if p] for s in stories]
    parts = [p for p in parts if len(p) > 8]

    def story(i):
        p = parts[i]
        wrong = [parts[(i + k * 17 + 5) % len(parts)][5] for k in range(3)]
        label = rnd.randrange(4)
        endings = wrong[:label] + [p[5]] + wrong[label:]
        return {"ctx": ". ".join(p[:5]) + ".", "endings": [e + "." for e in endings], "label": label}

    write(folder, "stories", {"train": [story(i + count) for i in range(10)], "test": [story(i) for i in range(count)]})

    def boolq(i):
        who, what, n = rnd.choice(people), rnd.choice(things), rnd.randrange(2, 9)
        asked = rnd.choice([n, n + 1])
        return {"paragraph": f"{who}는 시장에서 {what} {n}개를 사서 집으로 가져왔다.", "question": f"{who}는 {what}를 {asked}개 샀는가?", "label": int(asked == n)}

    write(folder, "boolq", {"train": [boolq(i) for i in range(12)], "test": [boolq(i) for i in range(count)]})

    def copa(i):
        who = rnd.choice(people)
        label = i % 2
        causes = [f"{who}는 배가 고팠다.", f"{who}는 잠이 왔다."]
        return {"premise": f"{who}는 {'밥을 먹었다' if label == 0 else '침대에 누웠다'}.", "question": rnd.choice(["원인", "결과"]),
                "alternative_1": causes[0], "alternative_2": causes[1], "label": label}

    write(folder, "copa", {"train": [copa(i) for i in range(12)], "test": [copa(i) for i in range(count)]})
    write(folder, "tales", {"test": [{"text": tales[i % len(tales)][:150]} for i in range(count)]})


def use_local(folder):
    def load(path, name=None, **kwargs):
        place = folder / PLACES[path]
        if name and (place / name).is_dir():
            place = place / name
        return REAL("json", data_files={f.stem: str(f) for f in sorted(place.glob("*.jsonl"))})

    datasets.load_dataset = load


def ours(model, tasks, settings, limit, folder, out, threads):
    command = ["node", str(HERE.parent / "bin/ropewalk.js"), "evaluate", str(model), "--limit", str(limit), "--out", str(out), "--json",
               "--threads", str(threads)]
    for task in tasks:
        command += ["--task", str(TASKS / FILES[task]) if task in FILES else str(HERE / "evaluate-tasks" / f"{task}.yaml")]
    for name, place in PLACES.items():
        command += ["--data", f"{name}={folder / place}"]
    if "shots" in settings:
        command += ["--shots", str(settings["shots"])]
    if settings.get("chat"):
        command.append("--chat")
    began = time.time()
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    items = {t: [json.loads(line) for line in (out / f"{t}.jsonl").open()] for t in tasks}
    return result, items, time.time() - began


class Float64:
    """Log-likelihoods in float64, for those few where the two float32 programs differ by more than 1e-3."""

    def __init__(self, model, lm):
        self.path, self.lm, self.model = model, lm, None

    def of(self, arguments):
        if self.model is None:
            self.model = AutoModelForCausalLM.from_pretrained(self.path, dtype=torch.float64).eval()
        if len(arguments) == 1:
            context, rest = [self.lm.prefix_token_id], self.lm.tok_encode(arguments[0])
        else:
            context, rest = self.lm._encode_pair(*arguments)
        ids = context + rest
        assert len(ids) - 1 <= self.lm.max_length
        with torch.no_grad():
            logits = self.model(torch.tensor([ids[:-1]])).logits[0, -len(rest):]
        return torch.log_softmax(logits, -1)[torch.arange(len(rest)), torch.tensor(rest)].sum().item()


def compare(name, theirs, result, items, float64):
    lines = []
    for task, samples in theirs["samples"].items():
        worst, texts, prompts, count, far = 0.0, 0, 0, 0, []
        for sample in samples:
            item = items[task][sample["doc_id"]]
            for i, (answer, args) in enumerate(zip([r[0] for r in sample["resps"]], sample["arguments"])):
                request, own = item["requests"][i], item["answers"][i]
                asked = [request.get("context", request.get("text"))] + ([request["continuation"]] if "continuation" in request else [])
                prompts += asked != [a for a in args if isinstance(a, str)]
                count += 1
                if isinstance(answer, str):
                    texts += own != answer
                else:
                    value = answer if isinstance(answer, float) else answer[0]
                    difference = abs(own["loglikelihood"] - value)
                    if difference >= 1e-3:
                        exact = float64.of([a for a in args if isinstance(a, str)])
                        far.append((difference, abs(own["loglikelihood"] - exact), abs(value - exact)))
                    else:
                        worst = max(worst, difference)
                    texts += not isinstance(answer, float) and own["greedy"] != answer[1]
        mine = {f"{m['metric']},{m['filter']}": m for t in result["tasks"] if t["task"] == task for m in t["metrics"]}
        metrics, difference = [], 0.0
        for key, value in theirs["results"][task].items():
            metric, _, chosen = key.partition(",")
            if not chosen or metric.endswith("_stderr"):
                continue
            error = theirs["results"][task][f"{metric}_stderr,{chosen}"]
            own = mine[f"{metric},{chosen}"]
            difference = max(difference, abs(own["value"] - value) / max(1, abs(value)))
            if error == "N/A":
                assert own["standardError"] is None, key
            else:
                difference = max(difference, abs(own["standardError"] - error) / max(1, abs(error)))
            metrics.append(f"{key.removesuffix(',none')} {value:.4f}" + ("" if error == "N/A" else f" ± {error:.4f}"))
        ok = prompts == 0 and texts == 0 and difference < 1e-3 and all(own < 1e-3 for _, own, _ in far)
        lines.append(f"{'ok ' if ok else 'BAD'} {task:26} {count:4} requests  other prompts {prompts}, other texts or greedy {texts}, "
                     f"largest difference of log-likelihoods {worst:.1e}, of metrics {difference:.1e}  [{'; '.join(metrics)}]")
        if far:
            _, own, other = (max(column) for column in zip(*far))
            lines.append(f"    {len(far)} log-likelihoods differ by 1e-3 or more, up to {max(far)[0]:.1e}: ropewalk's are within {own:.1e} of float64, "
                         f"lm_eval's within {other:.1e}")
    print(f"\n{name}\n" + "\n".join(lines), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("texts", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bootstrap", type=int, default=100000)
    parser.add_argument("--only", nargs="*", help="names of tasks; default all")
    parser.add_argument("--runs", nargs="*", default=list(RUNS), choices=list(RUNS))
    args = parser.parse_args()
    folder = args.work / "rows"
    make_rows(args.texts, folder, args.limit)
    use_local(folder)
    torch.set_num_threads(args.threads)
    lm = HFLM(pretrained=str(args.model), dtype="float32", device="cpu", batch_size=4)
    manager = TaskManager(include_path=[str(HERE / "evaluate-tasks"), *[str((TASKS / f).parent) for f in FILES.values()]], include_defaults=False)
    print(f"lm_eval {lm_eval.__version__}, torch {torch.__version__}, {args.model.name}, {args.limit} items of each task", flush=True)
    float64 = Float64(args.model, lm)
    for name in args.runs:
        settings, tasks = RUNS[name]
        tasks = [task for task in tasks if not args.only or task in args.only]
        began = time.time()
        theirs = evaluator.simple_evaluate(
            model=lm, tasks=tasks, task_manager=manager, limit=args.limit, bootstrap_iters=args.bootstrap, num_fewshot=settings.get("shots"),
            apply_chat_template=settings.get("chat", False), fewshot_as_multiturn=settings.get("chat", False),
        )
        took = time.time() - began
        out = args.work / name.replace(" ", "-").replace(",", "")
        result, items, seconds = ours(args.model, tasks, settings, args.limit, folder, out, args.threads)
        compare(f"{name} (lm_eval {took:.0f} s, ropewalk {seconds:.0f} s, not interleaved)", theirs, result, items, float64)


if __name__ == "__main__":
    main()
