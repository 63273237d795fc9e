"""Plain data as a readable stack file."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from backstay.config.reading import resolve

PLAIN: Final = re.compile(r"""[A-Za-z0-9_./~^$+()-][A-Za-z0-9 _./~@^*+$()<>=!:;|{}"'-]*""")
FLOW_SIGNS: Final = frozenset(",[]{}")
WIDTH: Final = 100


def write(data: dict[str, Any]) -> str:
    """Write a map in block form, services apart from one another, short lists and maps on their line."""
    blocks = []
    for key, value in data.items():
        block = _block({key: value}, 0)
        blocks.append(block)
    return "\n".join(blocks)


def _block(data: dict[str, Any], indent: int) -> str:
    text = ""
    for index, (key, value) in enumerate(data.items()):
        pad = " " * indent
        gap = "\n" if indent == 2 and index and isinstance(value, dict) else ""
        flow = None if indent == 0 and isinstance(value, dict) else _flow(value)
        if indent == 2 and isinstance(value, dict):
            flow = None
        if flow is not None and indent + len(str(key)) + len(flow) < WIDTH:
            text += f"{gap}{pad}{scalar(key)}: {flow}\n"
        elif isinstance(value, dict) and value:
            text += f"{gap}{pad}{scalar(key)}:\n{_block(value, indent + 2)}"
        elif isinstance(value, list | tuple) and value:
            items = "".join(f"{pad}  - {_flow(item)}\n" for item in value)
            text += f"{gap}{pad}{scalar(key)}:\n{items}"
        else:
            text += f"{gap}{pad}{scalar(key)}: {_flow(value)}\n"
    return text


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{scalar(key, flow=True)}: {_inner(item)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inner(item) for item in value) + "]"
    return scalar(value)


def _inner(value: Any) -> str:
    return _flow(value) if isinstance(value, dict | list | tuple) else scalar(value, flow=True)


UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON may hold as it is and YAML may not (YAML 1.2.2 section 5.1), or reads as the end of a line."""


def scalar(value: Any, *, flow: bool = False) -> str:
    """Write a scalar, in quotes only where it needs them.

    >>> scalar("redis-server"), scalar("yes: no"), scalar("10"), scalar(10)
    ('redis-server', '"yes: no"', '"10"', '10')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return str(getattr(value, "spelling", value))
    signs = FLOW_SIGNS & set(value) if flow else set[str]()
    risky = ": " in value or " #" in value or value.endswith((":", " ")) or value.startswith(("- ", "---"))
    if (
        PLAIN.fullmatch(value)
        and not signs
        and not risky
        and value != "-"
        and isinstance(resolve(value), str)
    ):
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
