"""Random chats by the templates of public models: texts, ids and masks of transformers.

    python test/reference/make_chats.py                   # chats.json, the sample that the tests read
    python test/reference/make_chats.py 2000 chats.json    # the full set, for verify/chats.ts

transformers 5.18.0. The templates are those of the models' tokenizer_config.json, written down here; Qwen 3's without its
tools. A template's "generation" form is the same with {% generation %} around what the assistant writes; both give the
same text, and return_assistant_tokens_mask of the second is the reference. The tokenizer is the byte-level one of chat.json
with the special tokens of all templates.
"""

import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent

# What ⟦ and ⟧ stand around is generated.
MARKED = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'}}{% if message['role'] == 'assistant' %}⟦{{ message['content'] + '<|im_end|>' }}⟧{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama2": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}⟦{{ ' '  + content.strip() + ' ' + eos_token }}⟧{% endif %}{% endfor %}",
    "llama3": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set header = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' %}{% if loop.index0 == 0 %}{% set header = bos_token + header %}{% endif %}{{ header }}{% if message['role'] == 'assistant' %}⟦{{ message['content'] | trim + '<|eot_id|>' }}⟧{% else %}{{ message['content'] | trim + '<|eot_id|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    "llama3.2": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {%- if message['role'] == 'assistant' %}⟦{{- message['content'] | trim + '<|eot_id|>' }}⟧{% else %}{{- message['content'] | trim + '<|eot_id|>' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "gemma": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' }}{% if role == 'model' %}⟦{{ message['content'] | trim + '<end_of_turn>' }}⟧{% else %}{{ message['content'] | trim + '<end_of_turn>' }}{% endif %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
    "gemma3": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\n\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
    {%- if role == 'model' -%}⟦{{ message['content'] | trim }}{{ '<end_of_turn>' }}⟧{{ '\n' }}
    {%- else -%}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\n'}}
{%- endif -%}
""",
    "qwen2.5": """{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role + '\\n' }}⟦{{- message.content + '<|im_end|>' }}⟧{{- '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "qwen3": """{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' }}⟦{%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}{{- '<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}{%- else %}{{- content }}{%- endif %}{{- '<|im_end|>' }}⟧{{- '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "mistral": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}⟦{{ message['content'] + eos_token}}⟧{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
    "r1": "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>'}}⟦{{content + '<｜end▁of▁sentence｜>'}}⟧{%- endif %}{%- endfor -%}{% if add_generation_prompt %}{{'<｜Assistant｜><think>\n'}}{% endif %}",
    "vicuna": "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ 'ASSISTANT: ' }}⟦{{ message['content'] + '\n###\n' }}⟧{% else %}{{ 'USER: ' + message['content'] + '\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}",
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n' }}⟦{{ message['content'] + eos_token }}⟧{{ '\n' -}}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    "phi3": "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n'}}⟦{{ message['content'] + '<|end|>'}}⟧{{'\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    "exaone": "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}{{ '[|system|][|endofturn|]\n' }}{% endif %}{{ '[|' + message['role'] + '|]' }}{% if message['role'] == 'user' %}{{ message['content'] + '\n' }}{% elif message['role'] == 'assistant' %}⟦{{ message['content'] + '[|endofturn|]' }}⟧{{ '\n' }}{% else %}{{ message['content'] + '[|endofturn|]\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}",
}
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>", "[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]"]
ORDINARY = ["<think>", "</think>", "[INST]", "[/INST]"]
PIECES = ["Yes", "yes", "No", "Hello there", "안녕하세요", "밧줄 🪢", "2+2=4", "a", ":", "\n", "\n\n", " ", "  ", "é", "line\nline", "user", "assistant", "ASSISTANT: ", "###", "{{ x }}", "[INST]", "\t", "<think>\nhm\n</think>\n\n", "<think>t</think>", "</think>", "<think>", "Because.", "그냥요."]


# Thoughts that are repeated or stand alone, two turns in a row, an assistant who begins.
FIXED = [[('user', 'What is 6 times 7?'),
  ('assistant', '<think>6*7</think>\n\n42'),
  ('user', '42'),
  ('assistant', '<think>they repeat it</think>\n\nExactly.')],
 [('user', 'Think first.'), ('assistant', '<think>only a thought</think>'), ('user', 'Now answer.'), ('assistant', '<think>ok</think>\n\nDone.')],
 [('user', 'line'), ('assistant', 'padded'), ('assistant', '<think>No</think>')],
 [('assistant', '<think>\nYes\n</think>\n\nes'), ('assistant', '<think>No</think>es'), ('user', 'Y')],
 [('user', 'Ready?'), ('assistant', '<think>hm</think>\n\nYes'), ('user', 'Yes'), ('assistant', '<think>ok</think>\n\nDone')],
 [('user', 'Q'), ('assistant', '<think>t</think>\n\nYes'), ('user', 'And B?'), ('assistant', '<think>u</think>\n\nYes')],
 [('user', 'Q'), ('assistant', '<think>t</think>\n\nAlpha'), ('user', 'And B?'), ('assistant', '<think>u</think>\n\nBeta')],
 [('assistant', 'Hello, how can I help?'), ('user', 'hi'), ('assistant', 'ok')]]


def chats(count, seed="ropewalk"):
    made = [[{"role": role, "content": content} for role, content in chat] for chat in FIXED]
    for i in range(count - len(made)):
        draw = random.Random(f"{seed}-{i}")
        text = lambda least: "".join(draw.choice(PIECES) for _ in range(draw.randrange(least, 5)))
        roles = ["system"] if draw.random() < 0.3 else []
        kind = draw.random()
        turns = draw.randrange(1, 5)
        if kind < 0.7:
            roles += [role for _ in range(turns) for role in ("user", "assistant")]
            roles = roles[:-1] if draw.random() < 0.1 and len(roles) > 1 else roles
        else:
            roles += [draw.choice(["user", "assistant"]) for _ in range(turns)]
        shared = text(1)
        said = lambda: shared if draw.random() < 0.2 else text(0 if draw.random() < 0.1 else 1)
        made.append([{"role": role, "content": said()} for role in roles])
    return made


def template(marked, generation):
    return marked.replace("⟦", "{% generation %}" if generation else "").replace("⟧", "{% endgeneration %}" if generation else "")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    path = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "chats.json"
    spec = json.loads((HERE / "chat.json").read_text(encoding="utf-8"))["tokenizers"]["byteLevel"]
    spec["post_processor"] = None
    backend = Tokenizer.from_str(json.dumps(spec))
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in ORDINARY])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>")
    all_chats = chats(count)
    cases = []
    for name, marked in MARKED.items():
        plain, generation = template(marked, False), template(marked, True)
        for i, messages in enumerate(all_chats):
            case = {"template": name, "chat": i}
            try:
                text = tokenizer.apply_chat_template(messages, chat_template=plain, tokenize=False)
                prompted = tokenizer.apply_chat_template(messages, chat_template=plain, tokenize=False, add_generation_prompt=True)
                out = tokenizer.apply_chat_template(messages, chat_template=generation, return_dict=True, return_assistant_tokens_mask=True)
                assert tokenizer.apply_chat_template(messages, chat_template=generation, tokenize=False) == text, name
                ids = list(out["input_ids"])
                assert ids == tokenizer.apply_chat_template(messages, chat_template=plain, return_dict=False)
                runs, last = [], 0
                for at, one in enumerate([*out["assistant_masks"], 0]):
                    if one != last:
                        runs.append(at)
                    last = one
                case |= {"text": text, "prompted": prompted[len(text):] if prompted.startswith(text) else prompted, "ids": ids, "trained": runs}
            except AssertionError:
                raise
            except Exception as error:  # noqa: BLE001: the template's own words
                case["refusal"] = str(error)
            cases.append(case)
    result = {
        "tokenizer": json.loads(backend.to_str()),
        "templates": {name: [template(marked, False), template(marked, True)] for name, marked in MARKED.items()},
        "chats": all_chats,
        "cases": cases,
    }
    path.write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")).replace('},{"template"', '},\n{"template"') + "\n", encoding="utf-8")
    print(len(MARKED), "templates,", len(cases), "cases,", sum("refusal" in case for case in cases), "refused")


main()
