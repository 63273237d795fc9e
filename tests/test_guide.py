"""The programs of the guide: they compile, and their types are those of the package."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

from mypy import api as mypy

GUIDES = Path(__file__).parents[1] / "docs" / "guide"
GUIDE = GUIDES / "python.md"


def test_the_programs_of_the_guide_are_typed_as_users_check_them(tmp_path: Path) -> None:
    programs = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    assert len(programs) == 2
    files = []
    for number, program in enumerate(programs):
        files.append(tmp_path / f"program{number}.py")
        files[-1].write_text(program)
    said, errors, code = mypy.run(["--strict", "--cache-dir", str(tmp_path / "cache"), *map(str, files)])
    assert (code, errors) == (0, ""), said


def test_the_guide_names_every_method() -> None:
    from backstay import Fleet

    text = GUIDE.read_text()
    hidden = {"begin", "begin_up", "wait", "running", "last_seq"}
    methods = {name for name in vars(Fleet) if not name.startswith("_")} - hidden
    assert {name for name in methods if f"`{name}(" not in text} == set()


def test_what_clients_are_configured_with_can_be_read() -> None:
    text = (GUIDES / "clients.md").read_text()
    blocks = re.findall(r"```(json|toml|python)\n(.*?)```", text, flags=re.DOTALL)
    blocks += [("json", inline) for inline in re.findall(r"`(\{\"[^`]*\})`", text)]
    commands = []
    for language, block in blocks:
        if language == "toml":
            assert tomllib.loads(block)["mcp_servers"]
        elif language == "python":
            compile(block, "guide", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        else:
            servers = json.loads(block)
            (fleet,) = (
                servers.get(key) for key in ("mcpServers", "servers", "context_servers") if key in servers
            )
            commands += [fleet["fleet"]["args"]] if "args" in fleet["fleet"] else []
    assert len(blocks) > 12
    assert len(commands) == 3
    assert all(words[0] == "-f" and words[2:] == ["connect"] for words in commands)
