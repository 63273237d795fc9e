"""Where stack files are found, and how their bytes become one tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backstay.config.interpolation import interpolate_tree
from backstay.config.merging import merge, without_resets
from backstay.config.problems import Place, Problems, did_you_mean
from backstay.config.reading import LARGEST_FILE, read
from backstay.config.tree import Mapping as MappingNode
from backstay.config.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE_NAMES: Final = ("backstay.yaml", "backstay.yml")


@dataclass(frozen=True, slots=True)
class Source:
    """A stack file's bytes, and the name that messages give it."""

    shown: str
    data: bytes


def find(start: Path) -> Path | None:
    """Return the stack file of a folder, or of the nearest one above it."""
    folder = start.absolute()
    for candidate in (folder, *folder.parents):
        for name in FILE_NAMES:
            if (candidate / name).is_file():
                return candidate / name
    return None


def shown(path: Path) -> str:
    """Return a path as messages show it: from here where it lies beneath, else as it is given."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def open_source(path: Path, problems: Problems) -> Source | None:
    """Read a file's bytes, no more than a stack file may have."""
    name = shown(path)
    try:
        with path.open("rb") as file:
            return Source(name, file.read(LARGEST_FILE + 1))
    except FileNotFoundError:
        problems.add(f"there is no file `{name}`", hint=_other_file(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problems.add(f"cannot read `{name}`: {reason.lower()}")
    return None


def _other_file(path: Path) -> str:
    try:
        there = [entry.name for entry in path.absolute().parent.iterdir()]
    except (OSError, ValueError):
        there = []
    files = [name for name in there if name.endswith((".yaml", ".yml"))]
    return did_you_mean(path.name, files, otherwise="`backstay init` writes one")


def compose(sources: Sequence[Source], variables: Mapping[str, str], problems: Problems) -> Tree | None:
    """Return the files as one tree, variables filled in; none where one of them cannot be read."""
    roots = []
    for source in sources:
        root = read(source.data, source.shown, problems)
        if root is not None:
            interpolate_tree(root, variables, problems)
        roots.append(root)
    merged = MappingNode({}, Place(sources[0].shown, 1, 1))
    for root in roots:
        if root is None:
            return None
        merged = merge(merged, root)
    return Tree(without_resets(merged))
