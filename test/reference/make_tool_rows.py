"""Rows with tools, calls, results, documents and content in parts: texts, ids and masks of transformers.

    python test/reference/make_tool_rows.py    # tool-rows.json

transformers 5.18.0. Each row stands beside the messages, tools and documents that it means, which `apply_chat_template` is
given. The templates write tools in the forms that Hermes and Qwen, Llama 3.1, Mistral and Command R made known; ⟦ and ⟧
stand around what is generated, see make_chats.py, whose tokenizer this is with a few more special tokens.
"""

import json
import pathlib

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|head|>", "<|/head|>", "<|eot|>", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[INST]", "[/INST]"]
ORDINARY = ["<tool_call>", "</tool_call>"]

HERMES = """{%- if tools %}
{{- '<|im_start|>system\\n' }}{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- 'You may call <tools>' }}{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}{{- '\\n</tools><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' %}{{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}{{- '<|im_start|>assistant\\n' }}⟦
{%- if message.content %}{{- message.content }}{%- endif %}
{%- for call in message.tool_calls or [] %}
{%- if message.content or not loop.first %}{{- '\\n' }}{%- endif %}
{%- set call = call.function if call.function else call %}
{{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}{{- call.arguments if call.arguments is string else call.arguments | tojson }}{{- '}\\n</tool_call>' }}
{%- endfor %}{{- '<|im_end|>' }}⟧{{- '\\n' }}
{%- elif message.role == 'tool' %}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

LLAMA = """{{- bos_token }}
{%- for message in messages %}
{%- if message.role == 'tool' %}{{- '<|head|>ipython<|/head|>\\n\\n' + (message.content | tojson) + '<|eot|>' }}
{%- elif 'tool_calls' in message %}
{%- if message.tool_calls | length != 1 %}{{- raise_exception('one call at a time') }}{%- endif %}
{{- '<|head|>assistant<|/head|>\\n\\n' }}⟦{{- '{"name": "' + message.tool_calls[0].function.name + '", "parameters": ' }}{{- message.tool_calls[0].function.arguments | tojson }}{{- '}<|eot|>' }}⟧
{%- elif message.role == 'assistant' %}{{- '<|head|>assistant<|/head|>\\n\\n' }}⟦{{- message.content | trim + '<|eot|>' }}⟧
{%- else %}{{- '<|head|>' + message.role + '<|/head|>\\n\\n' }}
{%- if tools is not none and message.role == 'user' and loop.first %}{%- for tool in tools %}{{- (tool | tojson(indent=4)) + '\\n\\n' }}{%- endfor %}{%- endif %}
{{- message.content | trim + '<|eot|>' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|head|>assistant<|/head|>\\n\\n' }}{%- endif %}"""

MISTRAL = """{{- bos_token }}
{%- for message in messages %}
{%- if message.role == 'user' %}
{%- if tools and loop.index0 == 0 %}{{- '[AVAILABLE_TOOLS] ' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{%- endif %}
{{- '[INST] ' + message.content + '[/INST]' }}
{%- elif message.tool_calls %}⟦{{- '[TOOL_CALLS] [' }}
{%- for call in message.tool_calls %}{{- '{"name": "' + call.function.name + '", "arguments": ' + (call.function.arguments | tojson) + ', "id": "' + call.id + '"}' }}{%- if not loop.last %}{{- ', ' }}{%- endif %}{%- endfor %}
{{- ']' + eos_token }}⟧
{%- elif message.role == 'assistant' %}⟦{{- message.content + eos_token }}⟧
{%- elif message.role == 'tool' %}{{- '[TOOL_RESULTS] {"content": ' + message.content + ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
{%- endif %}
{%- endfor %}"""

PARTS = """{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}⟦{%- if message.content is string %}{{- message.content }}{%- else %}{%- for part in message.content %}{{- part.text | trim }}{%- endfor %}{%- endif %}{{- '<|im_end|>' }}⟧{{- '\\n' }}
{%- else %}{%- if message.content is string %}{{- message.content }}{%- else %}{%- for part in message.content %}{{- part.text | trim }}{%- endfor %}{%- endif %}{{- '<|im_end|>\\n' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

RAG = """{%- if documents %}{{- '<|im_start|>system\\n' }}{%- for document in documents %}{{- '[' ~ loop.index ~ '] ' ~ document.title ~ ': ' ~ document.text ~ '\\n' }}{%- endfor %}{{- '<|im_end|>\\n' }}{%- endif %}""" + PARTS

PLAIN = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}{% if message.role == 'assistant' %}⟦{{ message.content + '<|im_end|>' }}⟧{% else %}{{ message.content + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

TEMPLATES = {"hermes": HERMES, "llama": LLAMA, "mistral": MISTRAL, "parts": PARTS, "rag": RAG, "named": {"default": PLAIN, "tool_use": HERMES}}

WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather of a place.", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}}}
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}}}
TOOLS = [WEATHER, ADD]


def call(name, arguments, **more):
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def tool(content, **more):
    return {"role": "tool", "content": content, **more}


SEOUL = call("weather", {"place": "서울"})
SUM = call("add", {"a": 2, "b": 2.5})
ONE = [user("How is it in Seoul?"), assistant(None, tool_calls=[SEOUL]), tool('{"sky": "clear"}'), assistant("Clear.")]
SPOKEN = [user("How is it?"), assistant("I will look.", tool_calls=[SEOUL, SUM]), tool("rain"), tool("4.5"), assistant("Rain, and 4.5."), user("Thanks"), assistant("Gladly.")]
EMPTY = [user("How is it?"), assistant("", tool_calls=[SUM]), tool("4.5"), assistant("4.5")]
ABSENT = [user("How is it?"), {"role": "assistant", "tool_calls": [SUM]}, tool("4.5"), assistant("4.5")]
IDS = [user("Add."), assistant(None, tool_calls=[call("add", {"a": 1}, id="123456789"), call("add", {"b": 1}, id="abcdefghi")]), tool("1", tool_call_id="123456789"), tool("1", tool_call_id="abcdefghi"), assistant("2")]
TEXT_ARGUMENTS = [user("Add."), assistant(None, tool_calls=[call("add", '{"a": 1}')]), tool("1"), assistant("1")]
SAID = [user("Hi"), assistant("Hello"), user("And?"), assistant("Well.")]
PART = lambda *texts: [{"type": "text", "text": text} for text in texts]
IN_PARTS = [user(PART(" What", "is it? ")), assistant(PART("A", " rope"))]
DOCUMENTS = [{"title": "Ropes", "text": "They are laid."}, {"title": "밧줄", "text": "꼬아 만든다."}]
SYSTEM = {"role": "system", "content": "Be brief."}
GPT = [{"from": "human", "value": "How is it?"}, {"from": "function_call", "value": json.dumps({"name": "add", "arguments": {"a": 2, "b": 2.5}})}, {"from": "observation", "value": "4.5"}, {"from": "gpt", "value": "4.5"}]
NULLS = [{**message, "tool_calls": message.get("tool_calls"), "name": None} for message in ONE]

# What lies in the file, the messages, and what reaches the template beside them.
ROWS = {
    "null content": ({"messages": ONE, "tools": TOOLS}, ONE, {"tools": TOOLS}),
    "no tools": ({"messages": ONE}, ONE, {}),
    "text and calls": ({"messages": SPOKEN, "tools": TOOLS}, SPOKEN, {"tools": TOOLS}),
    "empty content": ({"messages": EMPTY, "tools": TOOLS}, EMPTY, {"tools": TOOLS}),
    "no content": ({"messages": ABSENT, "tools": TOOLS}, ABSENT, {"tools": TOOLS}),
    "ids of calls": ({"messages": IDS, "tools": TOOLS}, IDS, {"tools": TOOLS}),
    "arguments as text": ({"messages": TEXT_ARGUMENTS, "tools": TOOLS}, TEXT_ARGUMENTS, {"tools": TOOLS}),
    "all as JSON": ({"messages": json.dumps(ONE), "tools": json.dumps(TOOLS)}, ONE, {"tools": TOOLS}),
    "calls as JSON": ({"messages": [{**message, **({"tool_calls": json.dumps(message["tool_calls"])} if "tool_calls" in message else {})} for message in SPOKEN], "tools": TOOLS}, SPOKEN, {"tools": TOOLS}),
    "nulls of a table": ({"messages": NULLS, "tools": TOOLS, "documents": None}, ONE, {"tools": TOOLS}),
    "system column": ({"messages": ONE, "tools": TOOLS, "system": "Be brief."}, [SYSTEM, *ONE], {"tools": TOOLS}),
    "ShareGPT": ({"conversations": GPT, "tools": json.dumps(TOOLS)}, EMPTY, {"tools": TOOLS}),
    "prompt and completion": ({"prompt": ONE[:3], "completion": ONE[3:], "tools": TOOLS}, ONE, {"tools": TOOLS, "from": 3}),
    "a call as completion": ({"prompt": ONE[:1], "completion": ONE[1:2], "tools": TOOLS}, ONE[:2], {"tools": TOOLS}),
    "an empty list of tools": ({"messages": SAID, "tools": []}, SAID, {"tools": []}),
    "plain": ({"messages": SAID}, SAID, {}),
    "parts": ({"messages": IN_PARTS}, IN_PARTS, {}),
    "documents": ({"messages": SAID, "documents": DOCUMENTS}, SAID, {"documents": DOCUMENTS}),
    "documents as JSON": ({"messages": SAID, "documents": json.dumps(DOCUMENTS)}, SAID, {"documents": DOCUMENTS}),
}
# Which rows a template writes all of.
CASES = {
    "hermes": [name for name in ROWS if name not in ("parts", "documents", "documents as JSON")],
    "llama": ["null content", "no content", "nulls of a table", "a call as completion", "plain"],
    "mistral": ["ids of calls", "plain"],
    "parts": ["parts", "plain"],
    "rag": ["documents", "documents as JSON", "parts", "plain"],
    "named": ["null content", "text and calls", "an empty list of tools", "plain"],
}


def template(marked, generation):
    if isinstance(marked, dict):
        return {name: template(one, generation) for name, one in marked.items()}
    return marked.replace("⟦", "{% generation %}" if generation else "").replace("⟧", "{% endgeneration %}" if generation else "")


def runs_of(mask):
    runs, last = [], 0
    for at, one in enumerate([*mask, 0]):
        if one != last:
            runs.append(at)
        last = one
    return runs


def main():
    spec = json.loads((HERE / "chat.json").read_text(encoding="utf-8"))["tokenizers"]["byteLevel"]
    spec["post_processor"] = None
    backend = Tokenizer.from_str(json.dumps(spec))
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in ORDINARY])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>")
    cases = []
    for name, rows in CASES.items():
        for row in rows:
            _, messages, given = ROWS[row]
            given, begin = {key: value for key, value in given.items() if key != "from"}, given.get("from", 0)
            tokenizer.chat_template = template(TEMPLATES[name], False)
            text = tokenizer.apply_chat_template(messages, tokenize=False, **given)
            ids = tokenizer.apply_chat_template(messages, return_dict=False, **given)
            tokenizer.chat_template = template(TEMPLATES[name], True)
            assert tokenizer.apply_chat_template(messages, tokenize=False, **given) == text, name
            out = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True, **given)
            assert list(out["input_ids"]) == ids, name
            runs = runs_of(out["assistant_masks"])
            # Of a prompt and its completion only the assistant's messages of the latter count.
            runs = runs[2 * sum(message["role"] == "assistant" for message in messages[:begin]):]
            cases.append({"template": name, "row": row, "text": text, "ids": ids, "trained": runs})
    result = {
        "tokenizer": json.loads(backend.to_str()),
        "templates": {name: [template(marked, False), template(marked, True)] for name, marked in TEMPLATES.items()},
        "rows": {name: row for name, (row, _, _) in ROWS.items()},
        "cases": cases,
    }
    text = json.dumps(result, ensure_ascii=False, separators=(",", ":")).replace('},{"template"', '},\n{"template"')
    (HERE / "tool-rows.json").write_text(text + "\n", encoding="utf-8")
    print(len(cases), "cases")


main()
