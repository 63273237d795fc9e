"""A server's source on disk: what belongs to it, and the digest that tells whether it changed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.packages.failure import failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: What tools leave in a project and can make again.
GENERATED = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        "node_modules",
        ".venv",
        "venv",
        "__pycache__",
        ".mypy_cache",
        ".ruff_cache",
        ".tox",
    }
    | {".pytest_cache", ".hypothesis", ".backstay", ".idea", ".vscode", ".DS_Store", "target"}
)
_MAX_FILES = 50_000
_REPLACE = re.compile(r"=>\s*(\.\.?/\S*)")


def files(root: Path, skip: frozenset[str] = GENERATED) -> Iterator[Path]:
    """The files of a project, in a stable order.

    Raises:
        PackageError: there are too many for it to be one server's source.
    """
    count = 0
    for directory, names, found in os.walk(root):
        names[:] = sorted(name for name in names if name not in skip)
        for name in sorted(found):
            if name in skip or name.endswith((".pyc", ".egg-info")):
                continue
            count += 1
            if count > _MAX_FILES:
                raise failure(
                    f"read {root}",
                    tail=f"more than {_MAX_FILES} files",
                    hint="`path:` wants the directory of one server, with its project file",
                )
            yield Path(directory, name)


def digest(roots: Iterable[Path], skip: frozenset[str] = GENERATED) -> str:
    """A digest of everything in these directories (or files) that a build could read."""
    sha = hashlib.sha256()
    for root in roots:
        for path in [root] if root.is_file() else files(root, skip):
            relative = path.relative_to(root if path != root else root.parent)
            sha.update(f"{len(str(relative))}:{relative}:".encode())
            if path.is_symlink():
                sha.update(f"link:{path.readlink()}".encode())
            elif path.is_file():
                with path.open("rb") as file:
                    inner = hashlib.file_digest(file, "sha256")
                sha.update(f"{os.access(path, os.X_OK):d}".encode() + inner.digest())
    return sha.hexdigest()


def copy(root: Path, to: Path, skip: frozenset[str] = GENERATED) -> None:
    """Copy a project without what tools can make again."""
    shutil.copytree(
        root, to, symlinks=True, ignore=lambda _, names: {n for n in names if n in skip or n.endswith(".pyc")}
    )


def read_toml(path: Path, step: str) -> dict[str, Any]:
    """A project file.

    Raises:
        PackageError: it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise failure(step, tail=f"{path}: {error}", hint=f"correct {path.name}") from error


def rust_roots(project: Path, step: str) -> list[Path]:
    """A Rust project's directory, its workspace's manifest and lock file, and every path dependency."""
    seen: dict[Path, None] = {}
    waiting = [project]
    while waiting:
        crate = waiting.pop()
        if crate in seen or not (crate / "Cargo.toml").is_file():
            continue
        seen[crate] = None
        waiting += [
            Path(os.path.normpath(crate / path)) for path in _path_dependencies(crate / "Cargo.toml", step)
        ]
    for parent in project.parents:
        manifest = parent / "Cargo.toml"
        if manifest.is_file() and "workspace" in read_toml(manifest, step):
            seen |= dict.fromkeys(file for file in (manifest, parent / "Cargo.lock") if file.is_file())
            break
    return sorted(seen)


def _path_dependencies(manifest: Path, step: str) -> Iterator[str]:
    def tables(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for key, inner in value.items():
            if key.endswith("dependencies") and isinstance(inner, dict):
                yield inner
            elif key in ("target", "workspace") or isinstance(inner, dict):
                yield from tables(inner) if isinstance(inner, dict) else ()

    for table in tables(read_toml(manifest, step)):
        for wanted in table.values():
            if isinstance(wanted, dict) and isinstance(wanted.get("path"), str):
                yield wanted["path"]


def go_roots(project: Path) -> list[Path]:
    """A Go project's directory and the directories that its `replace` lines point at."""
    found = {project}
    for line in (project / "go.mod").read_text(encoding="utf-8").splitlines():
        match = _REPLACE.search(line)
        if match:
            found.add(Path(os.path.normpath(project / match[1])))
    return sorted(root for root in found if root.is_dir())
