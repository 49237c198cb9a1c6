"""YAML text to plain data, with a line for each problem. Pure.

Scalars are JSON's: `no`, `1:30`, `0391`, `+61…` and dates are text. Aliases work; merge keys (`<<`)
and tags do not.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

#: More nodes are no configuration; aliases of aliases can make any number of one page.
_MAX_NODES = 20_000
_MAX_DEPTH = 30
_TAG = "tag:yaml.org,2002:"
_STR, _NULL = f"{_TAG}str", f"{_TAG}null"
#: What mostly is the matter with a text that is no YAML.
_HINT = "a text with `: ` in it, or ? in a list in one line, or { in front, needs quotes"
_ENV = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Loader(yaml.SafeLoader):
    """Knows JSON's scalars only."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own form


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"-?(?:0|[1-9][0-9]{0,17})", "-0123456789"),
    (
        "float",
        r"-?(?:(?:0|[1-9][0-9]{0,17})?\.[0-9]+|(?:0|[1-9][0-9]{0,17})(?:\.[0-9]*)?)"
        r"(?:[eE][-+]?[0-9]{1,2})?",
        "-.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_tag}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


class Problems(dict[str, str]):
    """Path to problem; of several at one path the first is kept: the others follow from it."""

    def add(self, path: str, text: str) -> None:
        self.setdefault(path, text)

    def lines(self) -> list[str]:
        return [f"{path}: {text}" if path else text for path, text in self.items()]


def at(path: str, key: str | int) -> str:
    """The path of what `key` leads to: `profiles.clinic.tools[0]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    name = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else repr(key)
    return f"{path}.{name}" if path else name


def read_yaml(text: str, env: Mapping[str, str], problems: Problems) -> dict[str, Any]:
    """The mapping that `text` is, `${NAME}` replaced from `env`; {} if it is none.

    A key without a value is as if it was not there; `null` is a value.
    """
    try:
        root = yaml.compose(text, _Loader)
        if root is None:
            return {}
        data = _Reader(env, problems).read(root, "", ())
    except yaml.MarkedYAMLError as error:
        problems.add("", _syntax_problem(error))
    except yaml.YAMLError as error:
        problems.add("", f"not YAML: {' '.join(str(error).split())}")
    except RecursionError:
        problems.add("", "nested too deeply")
    except _TooMuch as error:
        problems.add("", str(error))
    else:
        if isinstance(data, dict):
            return data
        problems.add("", "must be `key: value` lines, such as `profiles:`")
    return {}


class _TooMuch(Exception):
    """The document is too large or too deep to be a configuration."""


class _Reader:
    def __init__(self, env: Mapping[str, str], problems: Problems) -> None:
        self._env, self._problems = env, problems
        self._nodes = 0

    def read(self, node: yaml.Node, path: str, above: tuple[yaml.Node, ...]) -> Any:
        self._nodes += 1
        if self._nodes > _MAX_NODES or len(above) > _MAX_DEPTH:
            raise _TooMuch(
                f"too large: more than {_MAX_NODES} values, or {_MAX_DEPTH} levels, with aliases"
            )
        if any(node is it for it in above):
            self._problems.add(path, f"{_line(node)}: an alias of what it is in, without an end")
            return None
        if isinstance(node, yaml.MappingNode):
            self._check_tag(node, path, "map")
            return dict(self._items(node, path, (*above, node)))
        if isinstance(node, yaml.SequenceNode):
            self._check_tag(node, path, "seq")
            children = enumerate(node.value)
            return [self.read(child, at(path, i), (*above, node)) for i, child in children]
        return self._scalar(node, path)

    def _items(
        self, node: yaml.MappingNode, path: str, above: tuple[yaml.Node, ...]
    ) -> Iterator[tuple[str, Any]]:
        lines: dict[str, int] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problems.add(
                    path, f"{_line(key)}: no key: a text that begins with {{ needs quotes"
                )
                continue
            name, line = key.value, key.start_mark.line + 1
            where = at(path, name)
            if name in lines:
                self._problems.add(where, f"is there twice, in lines {lines[name]} and {line}")
                continue
            lines[name] = line
            if name == "<<":
                self._problems.add(where, f"{_line(key)}: merge keys do not work; use `extends`")
            elif not (child.tag == _NULL and child.value == ""):
                yield name, self.read(child, where, above)

    def _check_tag(self, node: yaml.Node, path: str, *usual: str) -> None:
        if node.tag.removeprefix(_TAG) not in usual:
            self._problems.add(path, f"{_line(node)}: tags such as {node.tag!r} do not work")

    def _scalar(self, node: yaml.Node, path: str) -> Any:
        text = str(node.value)
        self._check_tag(node, path, "str", "null", "bool", "int", "float")
        try:
            match node.tag.removeprefix(_TAG):
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    return int(text)
                case "float":
                    return float(text)
        except ValueError:
            self._problems.add(path, f"{_line(node)}: not a number")
        # JSON writes one character as two that nothing could encode.
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return self._with_env(joined, path)

    def _with_env(self, text: str, path: str) -> str:
        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name is None:
                return "${"
            if not (match[0].endswith("}") and _ENV_NAME.fullmatch(name)):
                self._problems.add(path, "variables are written ${NAME}; a plain ${ is $${")
            elif text := self._env.get(name):
                return text
            else:
                self._problems.add(path, f"the environment variable {name} is not set")
            return match[0]

        return _ENV.sub(value, text)


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def _syntax_problem(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}: " if mark else ""
    if "\\t" in (error.problem or ""):
        return f"{where}a tab; YAML indents with spaces only"
    return f"{where}not YAML: {error.problem or error.context}; {_HINT}"
