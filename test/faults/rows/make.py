"""Expected values for test/rows.test.ts, by pandas and Hugging Face's datasets.

    pip install pandas==3.1.1 datasets==5.2.0
    python make.py

Writes expected.json: tables as pandas.read_csv reads them, and the training split of folders as load_dataset chooses it.
"""

import json
import tempfile
from io import BytesIO
from pathlib import Path

import datasets
import pandas

TABLES = {
    "CR alone": ("prompt,completion\ra,b\rc,d\r", ","),
    "CR, LF and CRLF mixed": ("prompt,completion\ra,b\nc,d\r\ne,f", ","),
    "CR within quotes": ('prompt,completion\r"a\rb",c\rd,"e\r\nf"\r', ","),
    "a byte order mark, and CR": ("\ufeffprompt,completion\ra,b\r", ","),
    "semicolons": ('prompt;completion\n"a;b";"c, d"\ne;f\n', ";"),
    "tabs in a .csv": ("prompt\tcompletion\na, b\tc;d\n", "\t"),
    "bars": ("prompt|completion\na|b\n", "|"),
    "a separator in the quotes of the first line": ('"prompt",completion\n"a;b;c",d\n', ","),
}

FOLDERS = {
    "test beside train": ["train.jsonl", "test.jsonl"],
    "validation and dev": ["train.jsonl", "validation.jsonl", "my-dev.jsonl"],
    "shards": ["data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl", "data/test-00000-of-00001.jsonl"],
    "folders": ["train/a.jsonl", "train/b.jsonl", "test/train_like.jsonl"],
    "folders within": ["en/training/a.jsonl", "en/eval/b.jsonl"],
    "names with dots and numbers": ["chats.train.1.jsonl", "chats.testing.1.jsonl"],
    "no split at all": ["a.jsonl", "b.jsonl"],
    "words that only contain one": ["trainer.jsonl", "contest.jsonl", "latest.jsonl"],
    "a file of no split beside train": ["train.jsonl", "extra.jsonl"],
}


def table(text: str, separator: str) -> list[dict[str, str]]:
    frame = pandas.read_csv(BytesIO(text.encode()), sep=separator, dtype=str, keep_default_na=False)
    return frame.to_dict("records")


def training(names: list[str]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"text": name}) + "\n")
        data = datasets.load_dataset(folder, cache_dir=f"{folder}/.cache")
        return sorted(data["train"]["text"])


expected = {
    "tables": {
        name: {"text": text, "rows": table(text, separator)} for name, (text, separator) in TABLES.items()
    },
    "folders": {name: {"files": files, "training": training(files)} for name, files in FOLDERS.items()},
}
Path(__file__).with_name("expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n")
