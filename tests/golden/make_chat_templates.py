#!/usr/bin/env python3
"""Writes data/chat_templates.json: chat templates and single constructs with the text that jinja2 makes
of them under the settings of transformers' apply_chat_template (trim_blocks, lstrip_blocks, loop controls,
its tojson, raise_exception; tools and documents None; no strftime_now, which gives another text every day).

  make_chat_templates.py [OUT.json [FOLDER with *.jinja …]]

Needs jinja2 (3.1). Templates of further folders are added: so the renderer can be held against templates
that are not ours to commit. null stands for an error that jinja2 raises, and for a list that a template puts
out as Python writes one: no such text is a conversation that a model knows."""
import json
import sys
from pathlib import Path

from jinja2 import TemplateError, ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = Path(__file__).parent


def environment():
    def raise_exception(message):
        raise TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


CONVERSATIONS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": " You are terse. \n"}, {"role": "user", "content": "What is 2+2?"},
     {"role": "assistant", "content": "4"}],
    [{"role": "user", "content": "Grüße – 你好 \"quoted\" <b>&</b> \\ backslash"},
     {"role": "assistant", "content": "<think>\nlong thought\n</think>\n\nAnswer: {{ x }} {% y %}"},
     {"role": "user", "content": "  And\tthen?\n\n"}, {"role": "assistant", "content": "Done."}],
    [{"role": "assistant", "content": "I speak first."}, {"role": "assistant", "content": "Twice."}],
    [{"role": "user", "content": "Weather in Oslo?"},
     {"role": "assistant", "content": "", "tool_calls": [
         {"type": "function", "id": "call00001",
          "function": {"name": "weather", "arguments": {"city": "Oslo", "days": 2, "units": None, "exact": True,
                                                        "near": [59.5, 1e-7, 1e22]}}}]},
     {"role": "tool", "name": "weather", "tool_call_id": "call00001", "content": "{\"t\": 3.5}"},
     {"role": "assistant", "content": "3.5 degrees"}],
    [{"role": "user", "content": [{"type": "text", "text": "part one "}, {"type": "text", "text": "part two"}]}],
    [],
]

# The short ones stand in many models; the long ones are written for this file with what templates of
# Llama 3, Mistral, Gemma, Qwen 3, Phi and Command models use.
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
TEMPLATES = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "chatml with a system message": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "turns": """{{ bos_token }}
{%- if messages and messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set lead = messages[0]['content'] + '\n\n' -%}
    {%- else -%}
        {%- set lead = messages[0]['content'][0]['text'] + '\n\n' -%}
    {%- endif -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set lead = "" -%}
    {%- set rest = messages -%}
{%- endif -%}
{%- for message in rest -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("user and assistant take turns: user/assistant/user") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\n' + (lead if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("a content that is neither") }}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\n' }}
{%- endif -%}
""",
    "headers": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if tools is not none %}{{ raise_exception("no tools here") }}{% endif %}
{%- if messages|length > 0 and messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start|>system<|end|>\\n\\n" }}
{{- "Date: " ~ date_string ~ "\\n\\n" }}
{{- system_message }}
{{- "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start|>' + message['role'] + '<|end|>\\n\\n'+ message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start|>assistant<|end|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start|>ipython<|end|>\\n\\n" }}
        {%- if message.content is mapping or (message.content is iterable and message.content is not string) %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant<|end|>\\n\\n' }}
{%- endif %}
""",
    "instructions": """{%- set ns = namespace(index=0, users=[]) %}
{%- for m in messages if m['role'] != 'system' %}
    {%- if m.role == "user" %}{% set ns.users = ns.users + [m.content] %}{% endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}
{{- bos_token }}[{{ ns.index }}|{{ ns.users|length }}]
{%- for message in messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last %}{{ "[LAST]" }}{% endif %}
        {{- "[INST] " ~ (message["content"] if message["content"] is string else message["content"]|map(attribute="text")|join("|")) ~ "[/INST]" }}
    {%- elif message["tool_calls"] is defined and message["tool_calls"] is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for call in message.tool_calls %}
            {%- set out = call.function|tojson %}
            {{- out[:-1] }}
            {%- if not call.id is defined or call.id|length != 9 %}
                {{- raise_exception("ids have nine characters") }}
            {%- endif %}
            {{- ', "id": "' + call.id + '"}' }}
            {%- if not loop.last %}{{ ", " }}{% else %}{{- "]" + eos_token }}{% endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] in ["tool", "tool_results"] %}
        {%- set content = message.content.content if message.content is mapping and message.content.content is defined else message.content %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- elif message["role"] != "system" %}
        {{- raise_exception("Only user, assistant and tool, not " + message["role"]) }}
    {%- endif %}
{%- endfor %}
""",
    "thinking": """{%- if messages and messages[0].role == 'system' %}
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
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and reasoning)) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
                {{- '<tool_call>\\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- content }}{{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
""",
    "macros": """{# a comment #}
{% macro value_of(x, deep=false) -%}
  {%- if x is string %}"{{ x }}"{% elif x is mapping %}{
    {%- for k, v in x|dictsort %}{{ k }}:{{ value_of(v, deep=true) }}{% if not loop.last %},{% endif %}{% endfor %}}
  {%- elif x is boolean %}{{ x|string|lower }}{% elif x is none %}null
  {%- elif x is sequence %}[{% for i in x %}{{ value_of(i, true) }}{{ "," if not loop.last }}{% endfor %}]
  {%- else %}{{ x }}{% endif %}{{ "^" if deep }}
{%- endmacro %}
{% for message in messages %}
  {% if message.role == 'system' %}
    {% continue %}
  {% endif %}
  {% set body %}
<{{ message.role|upper }}>{{ message.content if message.content is string else '?' }}
  {% endset %}
  {{ body|trim }}
  {% for call in message.tool_calls or [] %}
    {{ call.function.name }}({% for k, v in call.function.arguments.items() %}{{ k }}={{ value_of(v) }}{{ ", " if not loop.last else "" }}{% endfor %})
    {{ call|tojson(indent=2) }}
  {% else %}
-
  {% endfor %}
  {% if loop.index > 3 %}{% break %}{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ eos_token|default('none', true) }}
{% endif %}
""",
}

CONSTRUCTS = r"""
{{ 1 + 2 * 3 - 4 }}|{{ 7 // 2 }}|{{ -7 // 2 }}|{{ -7 % 3 }}|{{ 7 % -3 }}|{{ 7 / 2 }}|{{ 6 / 2 }}|{{ 2 * 1.5 }}|{{ 1.0 + 1 }}
{{ 0.1 + 0.2 }}|{{ 1e5 if false else 100000.0 }}|{{ 12345678901234567.0 * 10 }}|{{ 1 / 3 }}|{{ 0.00001 * 1 }}|{{ 0.0001 * 1 }}
{{ 'a' ~ 1 ~ none ~ true ~ 1.5 }}|{{ 'a' + 'b' }}|{{ 'a' 'b' }}|{{ "it's" }}|{{ 'say "x"' }}
{{ 'a\n\t\\\'\"\x41\u00e9\U0001F600\q' }}
{{ 1 if true }}|{{ 1 if false }}|{{ 1 if false else 2 if false else 3 }}
{{ true and 0 }}|{{ false or 'x' }}|{{ not 1 }}|{{ not not 1 }}|{{ 1 and 2 or 3 }}
{{ 1 == 1.0 }}|{{ true == 1 }}|{{ '1' == 1 }}|{{ none == none }}|{{ [1, 2] == [1, 2] }}|{{ {'a': 1} == {'a': 1} }}|{{ x == y }}|{{ x == none }}
{{ 1 < 2 }}|{{ 'a' < 'b' }}|{{ 2 >= 2.0 }}|{{ 1 != 2 }}|{{ 'b' > 'abc' }}
{{ 1 in [1, 2] }}|{{ 3 not in [1, 2] }}|{{ 'b' in 'abc' }}|{{ 'a' in {'a': 1} }}|{{ 'a' in x }}|{{ '' in 'a' }}
{{ 'abc'[0] }}|{{ 'abc'[-1] }}|{{ 'abc'[1:] }}|{{ 'abc'[:-1] }}|{{ 'abc'[::-1] }}|{{ 'abcdef'[1:5:2] }}|{{ 'abc'[5:] }}|{{ 'abc'[9] }}|{{ 'abc'[-9:2] }}
{{ 'äöü€😀'[1:3] }}|{{ 'äöü'[::-1] }}|{{ 'äöü€😀'|length }}|{{ '😀x'[1] }}
{{ [1, 2, 3][1] }}|{{ [1, 2, 3][-1] }}|{{ [1, 2, 3][9] }}|{{ [1, 2, 3][::-1]|join(',') }}|{{ [1, 2, 3][5:1:-1]|join(',') }}|{{ (1, 2)[0] }}|{{ (1,)|length }}|{{ ()|length }}
{{ {'a': {'b': 1}}.a.b }}|{{ {'a': 1}['a'] }}|{{ {'a': 1}.b }}|{{ {'a': 1}['b'] is defined }}|{{ {'items': 1}['items'] }}
{{ {'b': 1, 'a': [true, none, 'ä"\n<']}|tojson }}|{{ 'x'|tojson }}|{{ 1.5|tojson }}|{{ []|tojson }}|{{ {}|tojson }}|{{ '\x01\x7f'|tojson }}
{{ {'b': [1, {'c': 2}], 'e': [], 'f': {}}|tojson(indent=4) }}
{{ [1, [2, [3]]]|tojson(indent=0) }}
{{ '  x  '|trim }}|{{ 'xxaxx'|trim('x') }}|{{ 'aXb'|lower }}|{{ 'aXb'|upper }}|{{ 'hELLO wORLD'|capitalize }}|{{ "hello wORLD"|title }}|{{ ''|capitalize }}
{{ x|default('d') }}|{{ ''|default('d') }}|{{ ''|default('d', true) }}|{{ none|d('d', boolean=true) }}|{{ 0|default('d') }}|{{ x|default }}|
{{ 'abc'|list|join('-') }}|{{ [1, 2]|join }}|{{ ['a', 'b']|join(', ') }}|{{ {'a': 1, 'b': 2}|join(',') }}|{{ x|join(',') }}
{{ [1, 2, 3]|first }}|{{ [1, 2, 3]|last }}|{{ []|first }}|{{ [3, 1]|reverse|join(',') }}|{{ 'abc'|first }}|{{ [1, 2]|length }}|{{ {'a': 1}|count }}|{{ x|length }}
{{ 'aXbXc'|replace('X', '--') }}|{{ 'abc'.replace('b', '') }}|{{ 5|string + 'x' }}|{{ true|int }}|{{ 5|int }}|{{ 'a'|safe }}
{{ [{'a': 1}, {'a': 0}, {}]|selectattr('a')|list|length }}|{{ [{'a': 1}, {'a': 2}]|selectattr('a', 'equalto', 2)|map(attribute='a')|join }}|{{ [{'a': 1}, {}]|rejectattr('a', 'defined')|list|length }}
{{ [1, 0, 2]|select|join(',') }}|{{ [1, 2, 3]|select('odd')|join(',') }}|{{ [1, 2, 3]|reject('odd')|join(',') }}|{{ ['a', 'b']|map('upper')|join(',') }}|{{ [{'a': 1}, {}]|map(attribute='a', default='-')|join(',') }}
{{ {'b': 1, 'A': 2, 'c': 3}|dictsort|map('first')|join(',') }}|{{ {'b': 1, 'a': 2}|items|map('last')|join(',') }}
{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent(1, first=false, blank=true) }}
{{ ' a '.strip() }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ 'xax'.strip('x') }}|{{ 'abc'.startswith('ab') }}|{{ 'abc'.endswith('bc') }}|{{ 'a,b,c'.split(',')|join('|') }}|{{ 'a,b,c'.split(',', 1)|last }}|{{ 'ABC'.lower() }}|{{ 'abc'.upper() }}|{{ 'a b'.title() }}|{{ 'abC'.capitalize() }}
{{ '　 x  '.strip() }}|{{ '\u200bx'|trim|length }}
{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}|{% for k in {'a': 1} %}{{ k }}{% endfor %}|{% for v in {'a': 1}.values() %}{{ v }}{% endfor %}|{% for k in {'a': 1}.keys() %}{{ k }}{% endfor %}|{{ {'a': 1}.get('a') }}|{{ {'a': 1}.get('b') }}|{{ {'a': 1}.get('b', 7) }}
{% for i in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }} {% endfor %}
{% for i in [] %}x{% else %}none{% endfor %}|{% for i in x %}x{% else %}none{% endfor %}|{% for c in 'äb' %}{{ c }}.{% endfor %}
{% for i in range(5) if i is odd %}{{ i }}{{ loop.length }}{% endfor %}|{% for i in range(2, 8, 3) %}{{ i }}{% endfor %}|{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}
{% for a, b in [(1, 2), (3, 4)] %}{{ a + b }},{% endfor %}|{% for (a, b) in [[1, 2]] %}{{ a }}{{ b }}{% endfor %}
{% for i in [1, 2, 3, 4] %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}
{% set ns = namespace(a=1) %}{% for i in [1, 2] %}{% set ns.a = ns.a + i %}{% set ns.b = i %}{% endfor %}{{ ns.a }}{{ ns.b }}|{{ ns.c is defined }}|{% set d = dict(a=1) %}{{ d.a }}
{% if true %}{% set x = 5 %}{% endif %}{{ x }}|{% if x is defined %}y{% elif z %}z{% else %}n{% endif %}
{% set a, b = 1, 2 %}{{ a }}
{% set a, b = (1, 2) %}{{ a }}{{ b }}|{% set t %}a{{ 1 }}b{% endset %}{{ t|upper }}
{% macro m(a, b='B', c=a) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(a=1, b=3) }}{{ m() }}{{ m('x')|length }}
{% set g = 1 %}{% macro m() %}{{ g }}{{ i is defined }}{% endmacro %}{% for i in [1] %}{{ m() }}{% endfor %}
{% for i in [1, 2] %}{% for j in [3, 4] %}{{ i }}{{ j }}{{ loop.index }} {% endfor %}{{ loop.index }}{% endfor %}
{{ x is defined }}|{{ x is undefined }}|{{ none is none }}|{{ 'a' is string }}|{{ 1 is number }}|{{ 1 is integer }}|{{ 1.0 is float }}|{{ true is boolean }}|{{ true is number }}|{{ true is integer }}|{{ {} is mapping }}|{{ [] is sequence }}|{{ 'a' is sequence }}|{{ {} is sequence }}|{{ 1 is sequence }}|{{ [] is iterable }}|{{ 1 is iterable }}|{{ x is iterable }}|{{ x is sequence }}|{{ true is true }}|{{ 1 is true }}|{{ false is false }}|{{ raise_exception is callable }}
{{ 1 is not none }}|{{ not x is defined }}|{{ x is not defined and 1 }}|{{ 2 is even }}|{{ 3 is odd }}|{{ 1 is eq 1 }}|{{ 1 is ne 1 }}|{{ 1 is in [1] }}|{{ 'a' is equalto('a') }}
{{ 'a' if x is not defined else 'b' }}|{{ x.y is defined if x is defined else 'no' }}|{{ (x if x is defined else {}).y is defined }}
{{ 1 - -1 }}|{{ -1|string }}|{{ -(1 + 2) }}|{{ 2 * (3 + 4) }}|{{ 1 ~ 2 + 3 }}|{{ 2 + 3 ~ 4 }}|{{ 'a' ~ 'b' * 1 if false else 'c' }}
{{ 'x' | upper + 'y' | upper }}|{{ 'a' + 'b' | upper }}|{{ ('a' + 'b') | upper }}|{{ [1, 2] | length > 1 and 'yes' }}
{{ none.x is defined }}|{{ (1).x is defined }}|{{ 'a'.x is defined }}|{{ [1]['x'] is defined }}|{{ none['x'] is defined }}|{{ none[0] is defined }}
{{ true }}{{ True }}{{ false }}{{ none }}{{ None }}{{ x }}
a{# comment #}b|{#- x -#}  c  {#- y #}|{{- ' d ' -}}|
  {{- 1 }} x {{ 2 -}}  y
a
{% if true %}
  b
{% endif %}
c
a
   {% if true %}   
b
   {%- endif %}
c
a {% if true %} b {% endif %} c
a {%- if true -%} b {%- endif -%} c
a
  {%+ if true +%}
b
  {%+ endif %}
c
   {{ 1 }}
   {# x #}
   {{ 2 }}
{% if true -%}

  x
{%- endif %}   {% if true %}y{% endif %}
  {% if true %}{% if true %}
 x{% endif %}
{% endif %}

{% set a = 1 %}  {% set b = 2 %}
{{ a }}
{{ x.y }}
{{ x['y'] }}
{{ x() }}
{{ raise_exception('no') }}
{{ 1 + 'a' }}
{{ [] + 'a' }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ 1 in 'abc' }}
{{ 'a' < 1 }}
{% for i in 5 %}{% endfor %}
{{ 'a'.nothing() }}
{{ none|length }}
{{ namespace(1) }}
{{ [1][::0] }}
{% set x.y = 1 %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{% endmacro %}{{ m(b=2) }}
{{ 'a' is nothing }}
{{ 'a'|nothing }}
{% nothing %}
{{ '{{ 1 }}' }}{{ "{% x %}" }}{{ {'a': {'b': '}}'}}.a.b }}
{{ [1, 2,] | length }}|{{ {'a': 1,}.a }}|{{ (1, 2,) | length }}
{{ 'a' 'b' | upper }}|{{ "a" ~ 'b' }}
{{ [[1, 2], [3]] | map('join', '+') | join(',') }}|{{ [' a ', 'b '] | map('trim') | join(',') }}
{{ {'a': none}.a is none }}|{{ {'a': none}.get('a', 1) }}|{{ {'a': none}.a | default('d') }}|{{ {'a': none}.a | default('d', true) }}
{{ [x] | length }}|{{ [x, 1] | select('defined') | join }}|{{ [none, 1] | reject('none') | join }}
{% for i in [1, 2] %}{% set y = i %}{% endfor %}{{ y is defined }}
{% for i in [0, 1] %}{% if loop.first %}{% set z = 1 %}{% endif %}{{ z is defined }}{% endfor %}
{% for i in [1, 2, 3] %}{% if not loop.last and loop.nextitem == 2 %}n{% endif %}{% if loop.previtem is defined and loop.previtem == 2 %}p{% endif %}{% endfor %}
""".strip("\n")

# Constructs over several lines; the others stand on one line each.
LINES = [
    "a\n{% if true %}\n  b\n{% endif %}\nc\n",
    "a\n   {% if true %}   \nb\n   {%- endif %}\nc",
    "a\n  {%+ if true +%}\nb\n  {%+ endif %}\nc",
    "   {{ 1 }}\n   {# x #}\n   {{ 2 }}\n\n",
    "{% if true -%}\n\n  x\n{%- endif %}   {% if true %}y{% endif %}\n",
    "  {% if true %}{% if true %}\n x{% endif %}\n{% endif %}\n\nz",
    "{% set a = 1 %}  {% set b = 2 %}\r\n{{ a }}\r\n\r\n",
    "x  \n\t{#- c -#}\n\n y {# d #}\n z\n {#+ e #}\nw",
    "{% for i in [1, 2] %}\n  {{ i }}\n{% endfor %}\n.",
    "{% for i in [1, 2] -%}\n  {{ i }}\n{%- endfor %}\n.",
    "{{ 1\n + 2 }}\n{{- 3 }}\n",
    "{% set x = {\n 'a': 1\n} %}{{ x.a }}",
    "\n\n{% set x = 1 %}\n\n{{ x }}\n\n",
    " {{ 'a' }} {%- if true %} b{% endif -%} \n c",
    "{{ 1 }}{% if true %}\n{{ 2 }}{% endif %}\n\n",
    "\u3000{% if true %}x{% endif %}\u00a0 {%- if true %}y{% endif -%} \u00a0z",
]


def render(env, template, **variables):
    try:
        text = env.from_string(template).render(tools=None, documents=None, **variables)
    except Exception:
        return None
    lists = [str(m["content"]) for m in variables["messages"] if isinstance(m["content"], list)]
    return None if any(written in text for written in lists) else text


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data" / "chat_templates.json"
    env = environment()
    templates = dict(TEMPLATES)
    for folder in sys.argv[2:]:
        for path in sorted(Path(folder).glob("*.jinja")):
            templates[path.name] = path.read_text(encoding="utf-8")
    golden = {"conversations": CONVERSATIONS, "templates": [], "constructs": []}
    for name, template in templates.items():
        expected = [render(env, template, messages=messages, add_generation_prompt=prompt, **TOKENS)
                    for messages in CONVERSATIONS for prompt in (False, True)]
        golden["templates"].append({"name": name, "tokens": TOKENS, "template": template, "expected": expected})
    pieces = LINES[:]
    for line in CONSTRUCTS.split("\n"):
        # Errors and tags that belong together stay whole; lists of outputs become one each.
        if "|{{" in line and "{%" not in line:
            parts = line.split("|{{")
            pieces += [parts[0]] + ["{{" + part for part in parts[1:]]
        else:
            pieces.append(line)
    for piece in dict.fromkeys(pieces):
        golden["constructs"].append([piece, render(env, piece, messages=[], add_generation_prompt=False)])
    text = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))
    text = text.replace('},{"name"', '},\n{"name"').replace('],["', '],\n["')
    out.write_text(text + "\n", encoding="utf-8")
    print(len(golden["templates"]), "templates,", len(golden["constructs"]), "constructs")


main()
