"""
Data files and masks for test/data.test.ts, by pyarrow and transformers:

    pip install pyarrow==26.0.1 transformers==5.18.0 && python test/reference/make_data.py

pairs-<codec>.parquet: 5 rows of prompt and completion, in row groups of 2; messages.parquet: 3 chats as lists of
structures. masks.json: which tokens transformers' `return_assistant_tokens_mask` finds to be the assistant's, in
templates that say it by {% generation %}, with the tokenizers of chat.json; and the same templates without those marks.
"""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

folder = Path(__file__).parent / "data"
folder.mkdir(exist_ok=True)
pairs = pa.table(
    {
        "prompt": [f"What comes after {i}?" for i in range(5)],
        "completion": ["one", "two", None, "넷", "five, " * 40],
        "score": [0.5, 1.5, None, 2.5, 3.5],
    }
)
for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
    pq.write_table(pairs, folder / f"pairs-{codec}.parquet", compression=codec, row_group_size=2)
chats = [
    [("user", "Hello"), ("assistant", "Hi!")],
    [("system", "Be brief."), ("user", "Why?"), ("assistant", "Because."), ("user", "Ah."), ("assistant", "Yes.")],
    [("user", "안녕"), ("assistant", "반가워요")],
]
kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
column = pa.array([[{"role": r, "content": c} for r, c in chat] for chat in chats], kind)
pq.write_table(pa.table({"messages": column}), folder / "messages.parquet")


TEMPLATES = {
    # As ChatML, with a default system message.
    "marked": """{% for message in messages %}{% if loop.first and message['role'] != 'system' %}{{ '<|start|>system
Be kind.<|end|>
' }}{% endif %}{{ '<|start|>' + message['role'] + '
' }}{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|end|>' }}{% endif %}{{ '
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant
' }}{% endif %}""",
    # As Llama 3: contents trimmed, nothing after the end of a turn.
    "headed": """{{ bos_token }}{% for message in messages %}{{ '<|start|>' + message['role'] + '<|end|>

' }}{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] | trim + '<eos>' }}{% endgeneration %}{% else %}{{ message['content'] | trim + '<eos>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>

' }}{% endif %}""",
    # As Llama 2: the prompt ends without white space, and the answer begins with a space.
    "spaced": """{% for message in messages %}{% if message['role'] == 'assistant' %}{% generation %}{{ ' ' + message['content'] + ' <eos>' }}{% endgeneration %}{% else %}{{ bos_token + '[' + message['content'] + ']' }}{% endif %}{% endfor %}""",
    # As Qwen 3: what the assistant thought is left out of history, so a chat's beginning is not a chat of its own.
    "forgetful": """{% for message in messages %}{{ '<|start|>' + message['role'] + '
' }}{% if message['role'] == 'assistant' %}{% generation %}{% if loop.last %}{{ message['content'] }}{% else %}{{ message['content'].split('</note>')[-1].lstrip('\\n') }}{% endif %}{{ '<|end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|end|>' }}{% endif %}{{ '
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant
' }}{% endif %}""",
}
CHATS = [
    [("user", "Hello there"), ("assistant", "Hi! How can I help?")],
    [("system", "Be brief."), ("user", "왜?"), ("assistant", "그냥요. 😀"), ("user", "Ah."), ("assistant", "Yes.")],
    [("user", "Yes."), ("assistant", "Yes."), ("user", "Yes."), ("assistant", "Yes.")],
    [("user", "  spaces \n"), ("assistant", "\n\n  around\n\n")],
    [("user", "2+2?"), ("assistant", "<note>long</note>\n\n4"), ("user", "3+3?"), ("assistant", "<note>x</note>\n6")],
    [("user", "none"), ("assistant", ""), ("user", "some"), ("assistant", "some")],
]
reference = json.loads((folder.parent / "chat.json").read_text(encoding="utf-8"))
cases = []
for tokenizer_name, spec in reference["tokenizers"].items():
    for template_name, template in TEMPLATES.items():
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(json.dumps(spec)),
            bos_token="<bos>", eos_token="<eos>", chat_template=template,
        )
        for chat in CHATS:
            messages = [{"role": role, "content": content} for role, content in chat]
            result = tokenizer.apply_chat_template(
                messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
            )
            cases.append(
                {
                    "tokenizer": tokenizer_name,
                    "template": template_name,
                    "messages": messages,
                    "ids": list(result["input_ids"]),
                    "mask": list(result["assistant_masks"]),
                }
            )
plain = {name: re.sub(r"\{% (end)?generation %\}", "", template) for name, template in TEMPLATES.items()}
(folder / "masks.json").write_text(
    json.dumps({"templates": plain, "cases": cases}, ensure_ascii=False, separators=(",", ":")) + "\n",
    encoding="utf-8",
)
print(len(cases), "masks")
