"""
What Python itself makes of what src/evaluate reproduces: `re`, `ast.literal_eval`, `random`, PyYAML's scalars, Jinja2 as
lm-evaluation-harness sets it up, sacrebleu, scikit-learn and numpy. Writes evaluate/python.json.

    pip install lm_eval[hf]==0.4.13 sacrebleu==2.6.0 scikit-learn==1.9.1 pyyaml jinja2
    python make_evaluate_python.py
"""

import ast
import json
import pathlib
import random
import re
import warnings

import yaml
from lm_eval.api import metrics
from lm_eval.utils import apply_template

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).resolve().parent

PATTERNS = [
    r"(\([A-Z]\))", r"((?<=The answer is )(.*)(?=.)|(?<=the answer is )(.*)(?=.)|(?<=The answer: )(.*)(?=.))",
    r"(-?[$0-9.,]{2,})|(-?[0-9]+)", r"#### (\-?[0-9\.\,]+)", r"\b(Yes|No|yes|no)\b", r"(?i)answer\s*[:is]+\s*(\w+)",
    r"(?=(female|woman|man|male))", r"^\s*([A-D])", r"(?:a|ab)(c|bcd)(d*)", r"(a+)+b", r"x*",
    r"(?P<q>['\"]).*?(?P=q)", r"(\w)\1", r"[^\W\d_]+", r"답은\s*(\d+)", r"a{2,3}?", r"\d+(?!\.)", r"(?<!\$)\b\d+",
    r"(?m)^(\w+)$", r"(?s)a.*b", r"a|b|", r"(a|b)*?c", r"[\]\-a]+", r"(?x) a  b # comment", r"(|a)+", r"(a*)*",
    r"(?>a+)b", r"a++b", r"[a-zé]+", r"(?i)straße|É", r"\$?\s?(-?\d[\d,]*(?:\.\d+)?)", r"([ABCD])\W*$",
    r"(?<= )([\" \[\(<{}>\)\]]+)|([\" \[\(<{}>\)\]]+)", r"boxed\{(.*?)\}", r"\s+", r".", r"(.)(.)?", r"z?", r"\Aa|b\Z",
    r"(?i:AB)c", r"\x41|\u00e9|\101", r"[\d.]+", r"a{,2}b", r"a{b", r"(?a:\w+)", r"\Bb",
]
TEXTS = [
    "The answer is (B). the answer is 42.", "#### 1,234.50\n#### -7", "yes No YES\nAnswer: C", "aaab abcd aab",
    "female and woman", "한국어 답은 42 입니다. aa bb", "'q' \"zz\" 'it", "$12.50 and $ -3 or 1,000", "  A\nB\n",
    "Straße É é ÉCOLE", "\\boxed{x^2} }", "", "a\u3000b\u00a0c", "xxyxx", "mmiissii 😀😀 x", "Answer is: D\n", "( [ \" hi",
    "abC ABc a{b aab", "٣ 3 é b",
]
BAD_PATTERNS = ["(", "a)", "[a", "*a", "a**", "\\q", "(?P<a>x)(?P<a>y)", "(?<=a+)b", "a{3,2}", "[b-a]", "\\1", "(?P=x)", "(?z)", "x\\"]
LITERALS = [
    "'a'", "[1,2]", "['a', 'b']", "[\"x\", 'y\\'s', 3.0, None, True]", "(1,2)", "{'a': [1]}", "['a' 'b']", "01", "[1,,2]", "a",
    "[a]", "1_000", "'\\u00e9\\n\\q'", "-3", "[]", "()", "['']", "0x1F", "1e3", "['a'],", " 1", "[1]  ", "'a\nb'", "'''a\nb'''",
    "[1\n,2]", "r'\\n'", "[True, False]", "1 2", "[1", "'", "2.50", "['a\\'b', \"c\"]", "00", "1__0", "+2", "['가', '나']",
]
YAML = [
    "yes", "y", "No", "on", "0123", "0o17", "1e5", "1.5e+3", "1.", ".5", "1_000", "0x1f", "190:20", "~", "", "null", ".inf", "-.INF",
    ".nan", "'yes'", "12e03", "+1", "1:2", "=", "TRUE", "0b101", "1.0", "-0", "0.1.2",
]
DOC = {
    "a": "x\n", "n": 3, "f": 1.0, "l": ["b", "c"], "d": {"k": "v", "items": 2}, "none": None, "t": True, "s": "It's \"so\"", "big": 10**12,
}
TEMPLATES = [
    "{{a}}\n", "{% if t %}\nyes\n{% endif %}\n", "  {% for x in l %}\n{{x}}{% endfor %}", "{{missing}}", "{{missing or 'x'}}", "{% if missing %}a{% endif %}",
    "{{missing|default('x')}}", "{{d.nope}}", "{{'a' if missing is defined else 'b'}}", "{{l}} {{d}} {{f}} {{none}} {{t}} {{s}}", "{{l|join(', ')}}",
    "{{l|length}}{{missing|length}}", "{{missing == 1}}", "{{l[5]}}", "{{(l|first)}}{{([]|first)}}", "{{a|regex_replace('x', 'y\\\\g<0>')}}",
    "{{'aXbX'|regex_replace('X', '-', 1)}}", "{% set ns = namespace(c=0) %}{% for x in l %}{% set ns.c = ns.c + 1 %}{% endfor %}{{ns.c}}",
    "{{s.split()[0]}}|{{a.strip()}}", "{{['A','B'][n-2]}}", "{{n/2}} {{n//2}} {{big}}", "{#- c -#} x {#c#}\n", "{{- a -}} |", "{% raw %}\n{{x}}{% endraw %}\n",
    "{{d['k']}}{{d.get('k')}}", "{{l|map('upper')|list}}", "{{[d]|map(attribute='k')|join}}", "{{[d]|map(attribute='q')|join}}", "{{'%s-%d'|format('a', 3)}}",
    "{{range(3)|list}}", "{{a ~ n}}", "{{l.index('c')}}", "{{not missing}}", "{{missing in l}}", "{{loop}}", "{{raise_exception('x')}}", "{{l|tojson}}",
    "{{l|random}}", "{% macro m(x) %}<{{x}}>{% endmacro %}{{m(1)}}{{m()}}", "{{(1, 'a')}}", "{{none|default('q', true)}}", "\n\n{{n}}\n\n",
    "{%- for x in l -%}\n {{x}} \n{%- endfor -%}", "{{s|replace('\"', '')}}", "{{n|string + 'x'}}", "{{ 'x' if false }}", "{% set y = 'x' if false %}{{y}}|{{y|length}}", "{{l[0:1]}} {{s[::-1]}}",
]
PAIRS = [
    ("the cat sat on the mat", "the cat is on the mat"), ("Hello, world! It's 3.5 km-long; &quot;yes&quot;", "Hello world, it is 3.5 km long."),
    ("안녕 세상", "안녕하세요 세상"), ("", "nothing"), ("same text here now", "same text here now"), ("a-\nb\nc", "ab c"), ("x", "y"), ("(a) [b] {c} $5 1-2", "(a) [b]"),
]
SEEDS = [0, 1, 1234, 99, 2**31, 2**40 + 5]
CLASSES = [[(0, 0), (1, 1), (1, 0), (0, 1), (1, 1)], [(0, 1), (0, 1)], [(0, 0), (0, 0)], [(2, 1), (1, 1), (0, 2), (2, 2), (0, 0), (1, 2)]]
MATCHES = [
    ("The Answer.", "the answer", {"ignore_case": True, "ignore_punctuation": True}), ("a1b2", "ab", {"ignore_numbers": True}),
    ("1,000", "1000", {"regexes_to_ignore": [",", "\\$"]}), ("$1,000", "1000", {"regexes_to_ignore": [",", "\\$"]}), ("a ", "a", {}),
    ("É", "é", {"ignore_case": True}), ("“a”", "a", {"ignore_punctuation": True}), ("a", "a\0", {}), ("٣", "", {"ignore_numbers": True}),
]


def tried(work):
    try:
        return {"is": work()}
    except Exception as error:
        return {"error": type(error).__name__}


def lists(value):
    if isinstance(value, (list, tuple)):
        return [lists(v) for v in value]
    return value


def drawn(seed):
    r = random.Random(seed)
    return [
        [r.random() for _ in range(3)], r.sample(list(range(10)), 4), r.sample(list(range(1000)), 6), r.sample(list(range(40)), 5),
        r.choices(list(range(7)), k=7), r.sample(list(range(100)), 30), [r._randbelow(5) for _ in range(20)],
    ]


def edit_pairs():
    """Texts whose phrases are shifted, and others far longer or shorter than their references."""
    rnd = random.Random(11)
    pairs = [("", ""), ("a b c", ""), ("A  b\tC", "a B c"), ("x", " ".join(f"w{i}" for i in range(120)) + " x"), (" ".join("ab" * 70), "a")]
    for length, kinds, changes in [(6, 3, 2), (12, 40, 3), (12, 5, 4), (30, 200, 6), (30, 9, 8), (80, 12, 10)]:
        for _ in range(5):
            right = [f"w{rnd.randrange(kinds)}" for _ in range(length)]
            text = list(right)
            for _ in range(changes):
                kind, at = rnd.randrange(4), rnd.randrange(len(text))
                if kind == 0:
                    size = rnd.randrange(1, 5)
                    phrase = text[at:at + size]
                    del text[at:at + size]
                    to = rnd.randrange(len(text) + 1)
                    text[to:to] = phrase
                elif kind == 1:
                    text[at] = f"w{rnd.randrange(kinds)}"
                elif kind == 2:
                    text.insert(at, "new")
                elif len(text) > 1:
                    del text[at]
            pairs.append((" ".join(text), " ".join(right)))
    return pairs


def main():
    rnd = random.Random(5)
    texts = TEXTS + ["".join(rnd.choice("ab c1.$A\nB(é가") for _ in range(rnd.randrange(20))) for _ in range(12)]
    result = {
        "regex": [
            [p, t, lists(re.compile(p).findall(t)), re.sub(p, r"<\g<0>>", t), re.sub(p, "-", t, count=1)] for p in PATTERNS for t in texts
        ],
        "badPatterns": [p for p in BAD_PATTERNS if "error" in tried(lambda: re.compile(p))],
        "literals": [[t, tried(lambda: lists(ast.literal_eval(t)))] for t in LITERALS],
        "yaml": [[t, tried(lambda: repr(yaml.load("a: " + t, Loader=yaml.CSafeLoader)["a"]))] for t in YAML],
        "doc": DOC,
        "templates": [[t, tried(lambda: apply_template(t, DOC))] for t in TEMPLATES],
        "pairs": PAIRS,
        "bleu": metrics.bleu([(r, p) for p, r in PAIRS]),
        "bleuEach": [metrics.bleu([(r, p)]) for p, r in PAIRS],
        "chrf": metrics.chrf([(r, p) for p, r in PAIRS]),
        "chrfpp": metrics.chrfpp([(r, p) for p, r in PAIRS]),
        "edits": (edits := edit_pairs()),
        "ter": metrics.ter([(r, p) for p, r in PAIRS + edits]),
        "terEach": [metrics.ter([(r, p)]) for p, r in PAIRS + edits],
        "random": [[s, drawn(s)] for s in SEEDS],
        "classes": [[c, tried(lambda: float(metrics.f1_score(c))), float(metrics.matthews_corrcoef(c))] for c in CLASSES],
        "brier": float(metrics.brier_score([(0, [0.7, 0.2, 0.1]), (2, [0.3, 0.3, 0.4])])),
        "matches": [
            [p, r, k, float(metrics.exact_match_hf_evaluate(predictions=[p], references=[r], **k)["exact_match"])] for p, r, k in MATCHES
        ],
        "bootstrap": {
            "values": (values := [-(i * 37 % 11) / 3 for i in range(25)]),
            "perplexity": metrics.sample_stddev(metrics._bootstrap_internal_no_mp(metrics.perplexity, values, 100000)),
            "median": metrics.sample_stddev(metrics._bootstrap_internal_no_mp(metrics.median, values, 2000)),
        },
        "pooled": float(metrics.pooled_sample_stderr([0.1, 0.2, 0.05], [10, 20, 5])),
    }
    (HERE / "evaluate" / "python.json").write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
