"""Writes chat.json: chats as transformers renders and tokenizes them with small templates of our own.

    python test/reference/make_chat.py

transformers 5.18.0, tokenizers of its version.
"""

import json
import pathlib

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent

SPECIAL = ["<bos>", "<eos>", "<|start|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]

TEMPLATES = {
    # As ChatML: every role, with a default system message.
    "marked": """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|start|>system
Be kind.<|end|>
' }}{% endif %}{{ '<|start|>' + message['role'] + '
' + message['content'] + '<|end|>' + '
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant
' }}{% endif %}""",
    # As Llama 3: bos in the first message, contents trimmed.
    "headed": """{% for message in messages %}{% set content = '<|start|>' + message['role'] + '<|end|>

' + message['content'] | trim + '<eos>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>

' }}{% endif %}""",
    # As Gemma: no system role, roles must alternate.
    "strict": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('There is no system role') }}{% endif %}
{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}
{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}
{{ '<|start|>' + role + '
' + message['content'] | trim + '<|end|>
' }}{% endfor %}
{% if add_generation_prompt %}{{'<|start|>model
'}}{% endif %}""",
    # As Phi 3: the special token of a turn is put together from the role.
    "assembled": """{% for message in messages %}{{ '<|' + message['role'] + '|>' + '\\n' + message['content'] + '<|end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}""",
    # Macros, namespaces, loop controls, call and filter blocks, tests, slices, Python's ways with values.
    "rich": """{%- macro turn(role, text='', end='<|end|>') -%}
<|start|>{{ role }}{{ '\\n' ~ text ~ end }}
{%- endmacro -%}
{%- macro framed(name) -%}[{{ name }}: {{ caller() }}]{%- endmacro -%}
{%- set ns = namespace(turns=0, system='') -%}
{%- if messages[0].role == 'system' -%}
    {%- set ns.system = messages[0].content | trim -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set rest = messages -%}
{%- endif -%}
{%- if tools is none and documents is none -%}{{ bos_token }}{%- endif -%}
{%- if not nothing is defined and ns.system -%}{{ turn('system', ns.system) }}{%- endif -%}
{#- a comment -#}
{% for message in rest %}
    {%- if not message.content.strip() -%}{% continue %}{%- endif -%}
    {%- set ns.turns = ns.turns + 1 -%}
    {%- if message.role == 'assistant' and '</note>' in message.content -%}
        {{- turn(message.role, message.content.split('</note>')[-1].lstrip('\\n')) -}}
    {%- elif loop.last -%}
        {%- set body -%}{{ message['content'] | trim }} ({{ ns.turns }}, {{ loop.first }}, {{ loop.index % 2 == 0 }}, {{ none }}){%- endset -%}
        {{- turn(role=message.role, text=body) -}}
    {%- else -%}
        {{- turn(message.role, ['re: ', message.content.rstrip('!?')] | join) -}}
    {%- endif -%}
{% endfor %}
{%- call framed('count') -%}{{ rest | length }}{%- endcall -%}
{%- filter trim %}   {{ messages | length * 3 }} {{ '-' * 3 }}  {% endfilter -%}
{{ (messages | map(attribute='role') | list | tojson) }}{{ {'a': [1, 2.5, true, none], 'é': '<'} | tojson }}
{{- messages[0].content[:3] ~ messages[0].content[-2:] ~ (1 == true) ~ ('1' == 1) ~ (7 // 2) ~ (7 / 2) -}}
{% for n in range(5) %}{% if n == 3 %}{% break %}{% endif %}{{ n }}{% endfor %}
{%- if add_generation_prompt %}<|start|>assistant
{% endif %}""",
}

CHATS = {
    "one": [("user", "Hello there")],
    "spaces": [("user", "  two spaces, \n a newline \n\n"), ("assistant", " Yes. "), ("user", "\n\nand then?!")],
    "system": [("system", " You are brief. "), ("user", "Why is the sky blue?")],
    "korean": [("user", "안녕하세요, 밧줄 만드는 길이 뭐예요?"), ("assistant", "긴 길이에요 🪢."), ("user", "고마워요\u0085")],
    "empty": [("user", "first"), ("assistant", ""), ("user", "<b>bold</b> {{ 1 }} {% x %}")],
    "notes": [("user", "Think!"), ("assistant", "<note>long</note>\n\n4"), ("user", "and 3+3?")],
    "answered": [("user", "a"), ("assistant", "b")],
    "twice": [("user", "a"), ("user", "b")],
}


def tokenizers() -> dict[str, Tokenizer]:
    """A byte-level tokenizer (as Llama 3's) and a SentencePiece-like one (as Gemma's), trained on the chats."""
    text = [content for chat in CHATS.values() for _, content in chat] + list(TEMPLATES.values())

    byte_level = Tokenizer(models.BPE())
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    byte_level.train_from_iterator(
        text,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    add_bos(byte_level)

    pieces = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    pieces.normalizer = normalizers.Replace(" ", "▁")
    pieces.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces.train_from_iterator(
        [word for line in text for word in line.replace(" ", " ▁").split(" ")],
        trainers.BpeTrainer(
            vocab_size=560, special_tokens=[*SPECIAL, "<unk>", *byte_tokens], show_progress=False
        ),
    )
    spec = json.loads(pieces.to_str())
    # The byte tokens are the model's, not added ones; runs of newlines are added ones that are not special.
    spec["added_tokens"] = [token for token in spec["added_tokens"] if token["content"] not in byte_tokens]
    last = max(spec["model"]["vocab"].values())
    spec["added_tokens"] += [
        {"id": last + 1, "content": "\n\n", "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": False},
    ]
    pieces = Tokenizer.from_str(json.dumps(spec))
    add_bos(pieces)
    return {"byteLevel": byte_level, "pieces": pieces}


def add_bos(tokenizer: Tokenizer) -> None:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))]
    )


def main() -> None:
    built = tokenizers()
    cases = []
    for template_name, template in TEMPLATES.items():
        wrapped = {
            name: PreTrainedTokenizerFast(
                tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", chat_template=template
            )
            for name, tokenizer in built.items()
        }
        for chat_name, chat in CHATS.items():
            messages = [{"role": role, "content": content} for role, content in chat]
            for prompt in (False, True):
                case = {"template": template_name, "messages": messages, "addGenerationPrompt": prompt}
                try:
                    case["text"] = wrapped["byteLevel"].apply_chat_template(
                        messages, tokenize=False, add_generation_prompt=prompt
                    )
                    case["ids"] = {
                        name: list(
                            tokenizer.apply_chat_template(
                                messages, tokenize=True, add_generation_prompt=prompt, return_dict=False
                            )
                        )
                        for name, tokenizer in wrapped.items()
                    }
                except Exception as error:  # noqa: BLE001: the template's own words are the reference
                    case["refusal"] = str(error)
                cases.append(case)
    result = {
        "templates": TEMPLATES,
        "tokenizers": {name: json.loads(tokenizer.to_str()) for name, tokenizer in built.items()},
        "cases": cases,
    }
    (HERE / "chat.json").write_text(json.dumps(result, ensure_ascii=False) + "\n", encoding="utf-8")
    refused = sum("refusal" in case for case in cases)
    print(f"{len(cases)} cases, {refused} refused")


main()
