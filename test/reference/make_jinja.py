"""Writes jinja.json: small random programs, and what Python's Jinja2 makes of them, set up as transformers does it.

    python test/reference/make_jinja.py            # the sample that the tests read
    python test/reference/make_jinja.py 20000 seed out.json

transformers 5.18.0, Jinja2 3.1.6. A program is written by a grammar from the seed: expressions with filters, tests, methods,
slices and arithmetic over a few variables, within loops, conditions, macros, blocks and their white space. Where Jinja2
fails, "error" stands in place of a text.
"""

import copy
import json
import pathlib
import random
import re
import signal
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template

HERE = pathlib.Path(__file__).parent

VARIABLES = {
    "s": "Hello wörld, a-b",
    "t": " 안녕 🪢 x\n y ",
    "e": "",
    "n": 7,
    "m": -3,
    "f": 2.5,
    "b": True,
    "z": None,
    "l": [3, 1, 2],
    "w": ["b", "A", "c", "a"],
    "d": {"a": 1, "b": [1, 2], "items": 3},
    "r": [
        {"role": "user", "content": "Hi", "k": 2},
        {"role": "assistant", "content": " Yes\n", "k": 1},
        {"role": "user", "content": "so?", "k": None},
    ],
}


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names = []

    def pick(self, *options):
        option = self.random.choice(options)
        return option(self.depth) if callable(option) else option

    def string(self):
        return self.random.choice(
            ["'a'", "'b'", "','", "' '", "''", "'user'", "'x\\ny'", "'한'", "'l'", "'🪢'", "\"it's\"", "'%s'", "'k'", "'{}'", "'A1'", "'3'", "' 4.5 '"]
        )

    def number(self):
        return self.random.choice(["0", "1", "2", "3", "-1", "10", "2.5", "0.1", "7", "1e3", "1_000", "-2"])

    def atom(self):
        roll = self.random.random()
        if roll < 0.45:
            return self.random.choice(list(VARIABLES) + self.names + ["u"])
        if roll < 0.65:
            return self.string()
        if roll < 0.8:
            return self.number()
        return self.random.choice(
            ["true", "false", "none", "[]", "{}", "[1, 'a', none]", "{'a': 1}", "(1, 2)", "range(4)", "range(5, 0, -2)", "r[0]", "r[1].content", "d.b", "[1.0, 2.50]", "()", "('a',)"]
        )

    def expression(self, depth):
        if depth <= 0:
            return self.atom()
        self.depth = depth - 1
        down = lambda: self.expression(depth - 1)
        kind = self.random.randrange(14)
        if kind == 0:
            return f"({down()} {self.random.choice(['+', '-', '*', '/', '//', '%', '**'])} {self.random.choice([down(), self.number()])})"
        if kind == 1:
            return f"({down()} {self.random.choice(['==', '!=', '<', '<=', '>', '>=', 'in', 'not in'])} {down()})"
        if kind == 2:
            return f"({down()} ~ {down()})"
        if kind == 3:
            return f"({down()} {self.random.choice(['and', 'or'])} {down()})"
        if kind == 4:
            return f"(not {down()})"
        if kind == 5:
            otherwise = f" else {down()}" if self.random.random() < 0.8 else ""
            return f"({down()} if {down()}{otherwise})"
        if kind == 6:
            return f"({down()} is {self.random.choice(['', 'not '])}{self.test()})"
        if kind == 7:
            target = self.wrapped(depth) if self.random.random() < 0.3 else self.random.choice(["s", "t", "e", "'a,b,a'", "w[1]", "r[1].content", "'xAx'", "('%s' % s)"])
            return f"{target}.{self.method()}"
        if kind == 8:
            bounds = [self.random.choice(["", "0", "1", "-1", "2", "-3", "5", "n"]) for _ in range(self.random.choice([2, 2, 3]))]
            return f"{self.wrapped(depth)}[{':'.join(bounds)}]"
        if kind == 9:
            key = self.random.choice(["0", "-1", "1", "'a'", "'content'", "'role'", "5", self.string()])
            return f"{self.wrapped(depth)}[{key}]"
        if kind == 10:
            return f"{self.wrapped(depth)}.{self.random.choice(['a', 'role', 'content', 'k', 'items', 'x', 'b', '0'])}"
        filter = self.filter()
        if self.random.random() < 0.6:
            listed = re.search(r"attr|role|'k'|map|select|reject|join|batch|slice|sort|unique|group|sum|min|max|list|first|last", filter)
            return f"({self.random.choice(['r', 'r', 'l', 'w', 'd.b', 'd']) if listed else self.random.choice(['s', 't', 'n', 'f', 'm', 'w', 'd'])} | {filter})"
        return f"({down()} | {filter})"

    def wrapped(self, depth):
        inner = self.expression(depth - 1)
        return inner if re.fullmatch(r"[a-z]+|\(.*\)|'[^']*'", inner, re.S) and "|" not in inner else f"({inner})"

    def test(self):
        return self.random.choice(
            [
                *["defined", "undefined", "none", "string", "number", "integer", "float", "mapping", "sequence", "iterable"],
                *["boolean", "true", "false", "callable", "odd", "even", "lower", "upper", "escaped"],
                *["divisibleby(2)", "divisibleby 3", "eq(1)", "equalto('a')", "ne(1)", "gt(1)", "lessthan 3", "ge 2", "in [1, 2, 'a']", "in s", "sameas none", "sameas true", "filter", "test"],
            ]
        )

    def filter(self):
        s, n = self.string(), self.number()
        return self.random.choice(
            [
                *["upper", "lower", "capitalize", "title", "trim", "string", "length", "count", "list", "first", "last", "sort", "reverse"],
                *["reverse | list", "unique | list", "sum", "min", "max", "join", "tojson", "int", "float", "abs", "round", "safe", "escape", "e", "forceescape"],
                *["items | list", "dictsort", "wordcount", "urlencode", "string | length", "list | length", "d", "default"],
                *[f"join({s})", f"default({s})", f"default({s}, true)", f"d({n}, boolean=true)", f"replace({s}, {self.string()})", f"replace({s}, {self.string()}, 1)"],
                *[f"trim({s})", f"int({n})", f"int(base=16)", "int(5, 2)", f"float({n})", f"round({n})", "round(1)", "round(2, 'floor')", "round(0, 'ceil')", "round(-1)"],
                *["tojson(indent=2)", "tojson(ensure_ascii=true)", "tojson(separators=(',', ':'))", "tojson(sort_keys=true)", "tojson(indent=1, sort_keys=true)"],
                *["selectattr('k') | list", "selectattr('role', 'equalto', 'user') | list", "selectattr('role', '==', 'user') | map(attribute='content') | join('|')"],
                *["rejectattr('k', 'none') | list", "rejectattr('role', 'in', ['user']) | list | length", "select('odd') | list", "reject('string') | list", "select | list"],
                *["map('upper') | list", "map(attribute='role') | list", "map(attribute='x', default='-') | list", "map('int', 3) | join(',')", "map('default', 'q') | list"],
                *["join(', ', attribute='role')", "groupby('role')", "groupby('k', default=9) | list", "sort(attribute='role')", "sort(reverse=true)", "sort(case_sensitive=true)", "sort(attribute='role,content')"],
                *["batch(2) | list", "batch(2, 'x') | list", "slice(2) | list", "slice(3, 0) | list", "indent", "indent(2, true)", "indent('> ', blank=true)", "center(9)", "truncate(6)", "truncate(5, true, '…')"],
                *["format(1, 'a')", "format(n)", "attr('x')", "attr('upper')", "max(attribute='k')", "min(case_sensitive=true)", "sum(attribute='k')", "sum(start=1)", "unique(attribute='role') | list", "dictsort(by='value')", "dictsort(true, reverse=true)"],
            ]
        )

    def method(self):
        s, n = self.string(), self.random.choice(["0", "1", "2", "-1", "5"])
        return self.random.choice(
            [
                *["upper()", "lower()", "title()", "capitalize()", "swapcase()", "strip()", "lstrip()", "rstrip()", "split()", "splitlines()", "splitlines(true)"],
                *["isdigit()", "isalpha()", "isalnum()", "isupper()", "islower()", "isspace()", "istitle()", "isdecimal()", "isidentifier()", "isascii()", "items()", "keys()", "values()", "items() | list", "keys() | list"],
                *[f"strip({s})", f"lstrip({s})", f"rstrip({s})", f"split({s})", f"split({s}, 1)", f"rsplit({s}, 1)", "rsplit(none, 1)", "split(maxsplit=1)", f"replace({s}, {self.string()})", f"replace({s}, '', 1)"],
                *[f"find({s})", f"rfind({s})", f"index({s})", f"count({s})", f"count({s}, {n})", f"find({s}, {n}, 4)", f"startswith({s})", f"endswith({s})", f"endswith(({s}, 'b'))", f"startswith({s}, {n})"],
                *[f"join(w)", f"join({s})", f"join(l | map('string'))", f"partition({s})", f"rpartition({s})", f"removeprefix({s})", f"removesuffix({s})", "zfill(9)", f"ljust({n})", "rjust(12, '*')", "center(15)"],
                *["get('a')", "get('x')", "get('x', 1)", f"get({s})", "index(1)", "count(1)", "copy()", "format(1, 2)", "format(n, a='x')", "format(s)", "append(1)", "pop()", "update({})", "__class__", "x()"],
            ]
        )

    def formatted(self):
        return self.random.choice(
            [
                "'%s-%d' % (s, n)", "'%5.2f|%-6s|' % (f, w[0])", "'%(a)s' % d", "'%x %o %X' % (255, 8, 255)", "'%r' % s", "'%e' % f", "'%g' % 1e10", "'%03d' % n", "'%+d' % n", "'%%' % ()", "'%s' % l", "'%s %s' % l", "'%.3s' % s",
                "'{} {}'.format(s, n)", "'{0}{1}{0}'.format(1, 2)", "'{a}'.format(a=f)", "'{:>8}|{:<5}|{:^7}'.format('x', 'y', 'z')", "'{:.2f}'.format(f)", "'{:05d}'.format(n)", "'{:,}'.format(1234567)", "'{:x}'.format(255)", "'{!r}'.format('q')", "'{0[a]}'.format(d)", "'{:e}'.format(12345.678)", "'{:g}'.format(0.00001)", "'{:%}'.format(0.25)", "'{{}}'.format()", "'{:{}}'.format('a', 4)", "'{:+}'.format(n)", "'{:_}'.format(1234567)", "'{:#x}'.format(255)", "'{:*^9}'.format(s)",
            ]
        )

    def sign(self):
        return self.random.choice(["", "", "", "-", "+"])

    def tag(self, inside):
        return f"{{%{self.sign()} {inside} {self.random.choice(['', '', '-', '+'])}%}}"

    def data(self):
        return self.random.choice(["", "", " ", "\n", "x", " x ", "\n  ", "y\n", "\r\n", "\r", "  \n  ", "한", "{", "#", "\t"])

    def output(self):
        inner = self.formatted() if self.random.random() < 0.12 else self.expression(self.random.choice([1, 1, 2, 2, 3]))
        return f"{{{{{self.random.choice(['', '', '-'])} {inner} {self.random.choice(['', '', '-'])}}}}}"

    def program(self):
        """Mostly short ones: the first error of a program is all that is seen of it."""
        if self.random.random() < 0.5:
            return self.data() + self.output() + self.data()
        return self.data() + self.statement(self.random.choice([1, 1, 2])) + self.data()

    def statements(self, depth):
        parts = []
        for _ in range(self.random.choice([1, 1, 2])):
            parts.append(self.data())
            parts.append(self.statement(depth))
        return "".join(parts) + self.data()

    def statement(self, depth):
        kind = self.random.randrange(16) if depth > 0 else self.random.randrange(3)
        if kind <= 4:
            return self.output()
        expression = lambda: self.expression(self.random.choice([0, 1, 1, 2]))
        body = lambda: self.statements(depth - 1)
        name = self.random.choice(["x", "y", "q"])
        if kind == 5:
            out = self.tag(f"set {name} = {expression()}")
            self.names.append(name)
            return out
        if kind == 6:
            otherwise = self.tag(f"elif {expression()}") + body() if self.random.random() < 0.3 else ""
            otherwise += self.tag("else") + body() if self.random.random() < 0.5 else ""
            return self.tag(f"if {expression()}") + body() + otherwise + self.tag("endif")
        if kind in (7, 8, 9):
            source = self.random.choice(["l", "w", "r", "range(3)", "s[:3]", "t", "d", "d.items()", "[]", "r | selectattr('k')", "w | sort", expression()])
            target = "k, v" if "items" in source else self.random.choice(["x", "i", "y"])
            self.names.extend(target.split(", "))
            condition = f" if {expression()}" if self.random.random() < 0.25 else ""
            inner = body()
            if self.random.random() < 0.6:
                attribute = self.random.choice(["index", "index0", "first", "last", "length", "revindex", "revindex0", "previtem", "nextitem", "depth", "depth0", "cycle('a', 'b')", "changed(x)"])
                inner = "{{ loop." + attribute + " }}" + inner
            if self.random.random() < 0.2:
                inner += self.tag(f"if {expression()}") + self.tag(self.random.choice(["break", "continue"])) + self.tag("endif") + self.data()
            otherwise = self.tag("else") + body() if self.random.random() < 0.3 else ""
            return self.tag(f"for {target} in {source}{condition}") + inner + otherwise + self.tag("endfor")
        if kind == 10:
            inner = self.tag(f"set ns.{name} = {expression()}")
            return self.tag("set ns = namespace(x=1, y='')") + self.tag("for i in l") + inner + self.tag("endfor") + f"{{{{ ns.{name} }}}}{{{{ ns.x }}}}"
        if kind == 11:
            call = self.random.choice([f"mac({expression()})", f"mac({expression()}, b={expression()})", "mac()", f"mac(b={expression()})"])
            inner = body() + self.random.choice(["", "{{ a }}|{{ b }}", "{{ varargs }}", "{{ kwargs }}"])
            return self.tag("macro mac(a, b='d')") + inner + self.tag("endmacro") + f"{{{{ {call} }}}}"
        if kind == 12:
            return self.tag(f"set {name}") + body() + self.tag("endset") + f"{{{{ {name} }}}}"
        if kind == 13:
            return self.tag(f"filter {self.random.choice(['upper', 'trim', 'indent(2)', 'length'])}") + body() + self.tag("endfilter")
        if kind == 14:
            return self.tag(f"with {name} = {expression()}, v = {name}") + "{{ v }}" + body() + self.tag("endwith")
        if self.random.random() < 0.5:
            return self.tag("raw") + self.random.choice(["{{ x }}", " {% if %} ", "\n{# #}\n"]) + self.tag("endraw")
        if self.random.random() < 0.5:
            return f"{{#{self.random.choice(['', '-', '+'])} note {self.random.choice(['', '-', '+'])}#}}"
        return self.tag("macro box(c)") + "[{{ caller(c) }}]" + self.tag("endmacro") + self.tag("call(v) box(1)") + "{{ v }}" + body() + self.tag("endcall")


def give_up(*_):
    raise TimeoutError


def render(source):
    signal.setitimer(signal.ITIMER_REAL, 2)
    try:
        return {"text": _compile_jinja_template(source).render(**copy.deepcopy(VARIABLES))}
    except TimeoutError:
        return None
    except Exception as error:  # noqa: BLE001: that it fails is what counts
        return {"error": f"{type(error).__name__}: {str(error)[:80]}"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 700
    seed = sys.argv[2] if len(sys.argv) > 2 else "ropewalk"
    path = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else HERE / "jinja.json"
    signal.signal(signal.SIGALRM, give_up)
    programs = []
    for i in range(count):
        maker = Maker(f"{seed}-{i}")
        maker.depth = 3
        source = maker.program()
        result = render(source)
        # Addresses of objects, and results without end, are nobody's reference.
        if result is None or len(source) > 4000 or len(result.get("text", "")) > 3000 or " at 0x" in result.get("text", ""):
            continue
        programs.append({"source": source, **result})
    path.write_text(json.dumps({"variables": VARIABLES, "programs": programs}, ensure_ascii=False, separators=(",", ":")).replace('},{"source"', '},\n{"source"') + "\n", encoding="utf-8")
    print(len(programs), "programs,", sum("error" in one for one in programs), "fail")


main()
