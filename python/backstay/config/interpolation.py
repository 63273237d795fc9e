"""`${VAR}` in scalars: read from the environment, by Compose's rules.

`$VAR`, `${VAR}`, `${VAR:-default}`, `${VAR-default}`, `${VAR:?error}`, `${VAR?error}`, `${VAR:+other}`,
`${VAR+other}`; `$$` is a dollar. A variable that is not set is empty and a warning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from backstay.config.templates import escape
from backstay.config.tree import Mapping, Node, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Mapping as Variables

    from backstay.config.problems import Path, Problems

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OPERATOR: Final = re.compile(r":[-?+]|[-?+]")
DEEPEST: Final = 16


class Unset(Exception):
    """A variable that must be set is not, or what follows a `$` names no variable."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(slots=True)
class Interpolated:
    """A text with its variables filled in, and the same with `{{` from outside escaped."""

    value: str
    template: str
    unset: list[str]


def interpolate(text: str, variables: Variables[str, str], depth: int = 0) -> Interpolated:
    """Fill in the variables of a text.

    Raises:
        Unset: a variable that must be set is not, or the text is malformed.
    """
    if depth > DEEPEST:
        raise Unset("variables are nested too deeply", "")
    result = Interpolated("", "", [])
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        _literal(result, text[position:dollar])
        follows = text[dollar + 1 : dollar + 2]
        if follows == "$":
            _literal(result, "$")
            position = dollar + 2
        elif follows == "{":
            end = _closing(text, dollar + 1)
            _braced(result, text[dollar + 2 : end], variables, depth)
            position = end + 1
        elif match := NAME.match(text, dollar + 1):
            _put(result, match[0], variables.get(match[0]))
            position = match.end()
        else:
            raise Unset("a `$` stands before no variable", "write `$$` for a dollar")
    _literal(result, text[position:])
    return result


def _literal(result: Interpolated, text: str) -> None:
    result.value += text
    result.template += text


def _put(result: Interpolated, name: str, value: str | None) -> None:
    if value is None:
        result.unset.append(name)
        return
    result.value += value
    result.template += escape(value)


def _closing(text: str, brace: int) -> int:
    depth = 0
    for position in range(brace, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise Unset("a `${` does not end", "close it with `}`, or write `$$` for a dollar")


def _braced(result: Interpolated, inner: str, variables: Variables[str, str], depth: int) -> None:
    match = NAME.match(inner)
    if match is None:
        raise Unset(
            f"`${{{inner}}}` names no variable", "a name has letters, digits and `_`; write `$$` for a dollar"
        )
    name, rest = match[0], inner[match.end() :]
    value = variables.get(name)
    if not rest:
        _put(result, name, value)
        return
    operator = OPERATOR.match(rest)
    if operator is None:
        raise Unset(
            f"`${{{inner}}}` is no form of a variable", f"write `${{{name}}}` or `${{{name}:-default}}`"
        )
    word = rest[operator.end() :]
    given = value is not None and (value != "" or not operator[0].startswith(":"))
    match operator[0][-1]:
        case "-" if given:
            _put(result, name, value)
        case "?" if given:
            _put(result, name, value)
        case "?":
            said = interpolate(word, variables, depth + 1).value
            raise Unset(f"{name} is not set" + (f": {said}" if said else ""), f"set it: `export {name}=…`")
        case "-":
            _add(result, interpolate(word, variables, depth + 1))
        case _ if given:
            _add(result, interpolate(word, variables, depth + 1))


def _add(result: Interpolated, other: Interpolated) -> None:
    result.value += other.value
    result.template += other.template
    result.unset += other.unset


def interpolate_tree(root: Mapping, variables: Variables[str, str], problems: Problems) -> None:
    """Fill in the variables of every scalar beneath a node, in place. What is aliased is filled in once."""
    seen: set[int] = set()
    waiting: list[tuple[Node, Path]] = [(root, ())]
    while waiting:
        node, path = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Mapping):
            ignores = path == () or (len(path) == 2 and path[0] == "services")
            waiting += [
                (entry.node, (*path, key))
                for key, entry in node.entries.items()
                if not (ignores and key.startswith("x-"))
            ]
        elif isinstance(node, Sequence):
            waiting += [(item, (*path, index)) for index, item in enumerate(node.items)]
        elif isinstance(node.value, str) and "$" in node.value:
            _interpolate_scalar(node, path, root, variables, problems)


def _interpolate_scalar(
    scalar: Scalar, path: Path, root: Mapping, variables: Variables[str, str], problems: Problems
) -> None:
    from backstay.config.tree import Tree

    place = Tree(root).place(path)
    try:
        result = interpolate(str(scalar.value), variables)
    except Unset as error:
        problems.add(str(error), place, hint=error.hint)
        return
    for name in result.unset:
        hint = f"set it, or write `${{{name}:-}}` where it may be empty"
        problems.warn(f"{name} is not set, and is taken as empty", place, hint=hint)
    scalar.value = result.value
    scalar.template = result.template if result.template != result.value else None
