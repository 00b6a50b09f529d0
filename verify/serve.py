"""EleutherAI's lm-eval, and Python's openai client, against `ropewalk serve`.

    ropewalk export SmolLM2.gguf --to hf --dtype float32 --out DIR
    ropewalk serve smol=DIR --port 8091 &
    python verify/serve.py DIR lambada-test.jsonl [http://127.0.0.1:8091]
    (pip install lm-eval==0.4.13 openai torch==2.13.0 transformers==5.18.0)

Two tasks over local files: the last word of 200 LAMBADA texts, and 50 choices of one of four last words (ITEMS and CHOICES
change the numbers). Each item's
log-likelihood by `local-completions` (ids of tokens, several prompts in a request, echo, logprobs) is compared with that of
lm-eval's `hf` model, in float32 on the same weights. verify/serve.txt is what it printed.
"""

import json
import os
import sys
import tempfile

import lm_eval
import openai
from lm_eval.tasks import TaskManager

ITEMS = int(os.environ.get("ITEMS", 200))
CHOICES = int(os.environ.get("CHOICES", 50))
TOLERANCE = 1e-3

LAST_WORD = """
task: ropewalk_last_word
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{begin}}"
doc_to_target: "{{word}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""

CHOICE = """
task: ropewalk_choice
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{begin}}"
doc_to_target: answer
doc_to_choice: words
target_delimiter: ""
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""


def write_tasks(folder, lambada):
    texts = [json.loads(line)["text"] for line in open(lambada, encoding="utf8")][:ITEMS]
    pairs = [text.rsplit(" ", 1) for text in texts]
    items = []
    for i, (begin, word) in enumerate(pairs):
        others = [pairs[(i + step) % len(pairs)][1] for step in (1, 7, 31)]
        words = others[: i % 4] + [word] + others[i % 4 :]
        items.append(dict(begin=begin, word=word, words=[" " + one for one in words], answer=i % 4))
    for name, text, count in (("last_word", LAST_WORD, ITEMS), ("choice", CHOICE, CHOICES)):
        file = os.path.join(folder, f"{name}.jsonl")
        with open(file, "w", encoding="utf8") as out:
            out.writelines(json.dumps(item) + "\n" for item in items[:count])
        with open(os.path.join(folder, f"{name}.yaml"), "w") as out:
            out.write(text.replace("FILE", file))


def evaluate(folder, model, args, batch):
    results = lm_eval.simple_evaluate(
        model=model,
        model_args=args,
        tasks=["ropewalk_last_word", "ropewalk_choice"],
        task_manager=TaskManager(include_path=folder, include_defaults=False),
        batch_size=batch,
        log_samples=True,
        bootstrap_iters=0,
    )
    return results


def likelihoods(results, task):
    samples = sorted(results["samples"][task], key=lambda sample: sample["doc_id"])
    return [tuple(map(float_of, pair)) for sample in samples for pair in flat(sample["filtered_resps"])]


def flat(responses):
    for one in responses:
        if isinstance(one[0], (list, tuple)):
            yield from flat(one)
        else:
            yield one


def float_of(value):
    return {"True": 1.0, "False": 0.0}[str(value)] if str(value) in ("True", "False") else float(value)


def compare(folder, path, url):
    ours = evaluate(
        folder,
        "local-completions",
        dict(model="smol", base_url=f"{url}/v1/completions", tokenizer=path, num_concurrent=1, tokenized_requests=True),
        8,
    )
    theirs = evaluate(folder, "hf", dict(pretrained=path, dtype="float32", device="cpu"), 8)
    right = True
    for task in ("ropewalk_last_word", "ropewalk_choice"):
        a, b = likelihoods(ours, task), likelihoods(theirs, task)
        worst = max(abs(x[0] - y[0]) for x, y in zip(a, b, strict=True))
        greedy = sum(x[1] != y[1] for x, y in zip(a, b, strict=True))
        metrics = [results["results"][task]["acc,none"] for results in (ours, theirs)]
        ok = worst <= TOLERANCE and metrics[0] == metrics[1] and greedy == 0
        right = right and ok
        print(
            f"{task}: {len(a)} log-likelihoods, largest difference {worst:.2e}, greedy differs {greedy} times, "
            f"accuracy {metrics[0]:.4f} and {metrics[1]:.4f}: {'ok' if ok else 'WRONG'}"
        )
    return right


def client(url):
    api = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    whole = api.chat.completions.create(model="smol", messages=messages, temperature=0, max_tokens=30)
    pieces = api.chat.completions.create(model="smol", messages=messages, temperature=0, max_tokens=30, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in pieces if chunk.choices)
    same = text == whole.choices[0].message.content
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "people": {"type": "integer"}},
        "required": ["city", "people"],
        "additionalProperties": False,
    }
    answer = api.chat.completions.create(
        model="smol",
        messages=messages,
        max_tokens=80,
        seed=1,
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": True}},
    )
    value = json.loads(answer.choices[0].message.content)
    ok = same and set(value) == {"city", "people"}
    print(f"openai {openai.__version__}: {text!r}, streamed alike: {same}, by a schema: {value}: {'ok' if ok else 'WRONG'}")
    return ok


def main():
    path, lambada, *rest = sys.argv[1:]
    url = rest[0] if rest else "http://127.0.0.1:8091"
    with tempfile.TemporaryDirectory() as folder:
        write_tasks(folder, lambada)
        right = compare(folder, path, url)
    sys.exit(0 if client(url) and right else 1)


if __name__ == "__main__":
    main()
