"""Whatever a file holds, loading it gives a stack or problems, never a traceback.

`FUZZ_EXAMPLES=5000 pytest tests/config/test_fuzz.py` looks harder.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from backstay.config import Stack, load
from backstay.config.importers import import_file
from backstay.config.machine import Machine
from backstay.config.models import StackFile
from backstay.config.resolved import resolved
from backstay.config.validation import keys_of, models_of
from backstay.errors import ConfigErrors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MACHINE = Machine(cpus=4, memory=8 * 2**30, gpus=1)
FOLDER = Path(tempfile.mkdtemp(prefix="backstay-fuzz-"))
KEYS = sorted(
    {key for model in models_of(StackFile) for key in keys_of(model)} | {"test", "image", "<<", "x-a"}
)
VALUES = [
    *(
        "",
        "a",
        "b",
        "db",
        "auto",
        "npm:a@^1",
        "pypi:a==1",
        "path:./x",
        "https://example.com/mcp",
        "always",
        "no",
    ),
    *(
        "5s",
        "64M",
        "{{ ports.a }}",
        "{{ services.b.ports.a }}",
        "{{",
        "${HOME}",
        "${X:-y}",
        "${X:?z}",
        "$",
        "stdio",
    ),
    *(
        "service_healthy",
        "streamable-http",
        "0.5",
        "30000-30010",
        "127.0.0.1:0",
        "gpu",
        "all",
        "CMD",
        "\0",
        "\ud7ff",
    ),
    *("é", "a b", "'", "/", "./a.env"),
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats()
    | st.sampled_from(VALUES)
    | st.text(max_size=8)
)
names = st.sampled_from([*KEYS, "a", "b"]) | st.text(max_size=5)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
services = st.dictionaries(
    st.sampled_from(["a", "b", "db"]), st.dictionaries(st.sampled_from(KEYS), trees, max_size=5), max_size=3
)
files = st.fixed_dictionaries(
    {},
    optional={
        "services": services | trees,
        "gateway": trees,
        "ports": trees,
        "secrets": trees,
        "name": trees,
    },
)

patient = settings(
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "50")),
    suppress_health_check=[HealthCheck.too_slow],
)


def say(errors: ConfigErrors) -> None:
    """Check that errors can be said."""
    assert errors.problems
    assert str(errors).startswith("error: ")


def load_or_problems(data: bytes, *more: bytes) -> Stack | None:
    paths = []
    for number, content in enumerate((data, *more)):
        paths.append(FOLDER / f"{number}.yaml")
        paths[-1].write_bytes(content)
    try:
        stack = load(paths, environ={"HOME": "/home/{{ me"}, profiles=["*"], machine=MACHINE)
    except ConfigErrors as errors:
        return say(errors)
    assert Stack.model_validate_json(stack.model_dump_json()) == stack
    return stack


def as_yaml(tree: Any) -> bytes:
    return json.dumps(tree).encode()


@patient
@given(st.binary(max_size=200))
def test_any_bytes_give_problems(data: bytes) -> None:
    load_or_problems(data)


@patient
@given(st.text(alphabet=" \n\t:-[]{}&*!|>'\"%@`#,?ab01\\<~$.é\ufeff\x85\u2028", max_size=60))
def test_any_text_of_yaml_signs_gives_problems(text: str) -> None:
    load_or_problems(b"services:\n  a:\n    command: " + text.encode())
    load_or_problems(text.encode())


@patient
@given(files)
def test_any_tree_gives_a_stack_or_problems(tree: dict[str, Any]) -> None:
    stack = load_or_problems(as_yaml(tree))
    if stack is not None:
        again = load_or_problems(as_yaml(resolved(stack)))
        assert again is not None
        assert again.model_copy(update={"files": stack.files}) == stack


@patient
@given(files, files)
def test_any_two_trees_merge_into_a_stack_or_problems(first: dict[str, Any], second: dict[str, Any]) -> None:
    load_or_problems(as_yaml(first), as_yaml(second))


@patient
@given(files)
def test_a_file_laid_over_itself_changes_only_lists(tree: dict[str, Any]) -> None:
    once, twice = load_or_problems(as_yaml(tree)), load_or_problems(as_yaml(tree), as_yaml(tree))
    if once is not None and twice is not None:
        assert list(once.services) == list(twice.services)
        assert once.gateway == twice.gateway


servers = st.dictionaries(
    st.text(max_size=8),
    st.fixed_dictionaries(
        {},
        optional={
            "command": st.sampled_from(["npx", "uvx", "docker", "python", "uv", "cmd", ""]) | trees,
            "args": st.lists(
                st.sampled_from(["-y", "@a/b", "a", "--from", "--with", "--token=x", "$x", "{{x}}"])
                | scalars,
                max_size=4,
            ),
            "env": st.dictionaries(st.sampled_from(["API_KEY", "A", "B=", ""]), scalars, max_size=2) | trees,
            "url": st.sampled_from(["https://x.y/mcp", "x"]) | trees,
            "headers": st.dictionaries(st.text(max_size=4), scalars, max_size=2),
            "disabled": scalars,
            "cwd": scalars,
        },
    )
    | trees,
    max_size=3,
)


def import_or_problems(name: str, tree: Any) -> None:
    file = FOLDER / name
    file.write_bytes(as_yaml(tree))
    try:
        imported = import_file(file, target=FOLDER / "backstay.yaml", environ={})
    except ConfigErrors as errors:
        return say(errors)
    assert load_or_problems(imported.text.encode()) is not None


@patient
@given(servers)
def test_whatever_is_imported_from_claude_passes_the_check(tree: Any) -> None:
    import_or_problems("claude.json", {"mcpServers": tree})


@patient
@given(files)
def test_whatever_is_imported_from_compose_passes_the_check(tree: Any) -> None:
    import_or_problems("compose.yaml", tree)


@patient
@given(
    st.binary(max_size=100) | st.text(alphabet="{}[]:,\"'/* \n0e.-truefalsn\\u", max_size=60).map(str.encode)
)
def test_any_bytes_as_json_give_problems(data: bytes) -> None:
    file = FOLDER / "any.json"
    file.write_bytes(data)
    try:
        import_file(file, target=FOLDER / "backstay.yaml", environ={})
    except ConfigErrors as errors:
        say(errors)
