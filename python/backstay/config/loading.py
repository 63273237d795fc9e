"""`load`: from files to a `Stack`, or to everything that is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backstay.config.building import Wish, build
from backstay.config.dotenv import read_env_file
from backstay.config.machine import Machine
from backstay.config.problems import Problem, Problems, first_place
from backstay.config.resolving import Surroundings
from backstay.config.sources import Source, compose, open_source
from backstay.errors import ConfigErrors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from backstay.config.models.stack import Stack


def load(
    files: Sequence[Path],
    *,
    environ: Mapping[str, str],
    profiles: Sequence[str] = (),
    project_name: str | None = None,
    machine: Machine | None = None,
    warn: Callable[[Problem], None] | None = None,
) -> Stack:
    """Read, merge, resolve and check one or more stack files.

    Args:
        files: The files, later ones laid over earlier ones. Relative paths in all of them start at the first.
        environ: What `${VAR}` reads. A `.env` beside the first file stands behind it.
        profiles: The profiles to enable; `*` enables all.
        project_name: The stack's name, before the one in the file.
        machine: What reservations are measured against; this machine where not given.
        warn: Called with what is not wrong but seldom meant.

    Raises:
        ConfigErrors: something is wrong; it holds all that is.
    """
    problems = Problems()
    wish = Wish(tuple(files), tuple(profiles), project_name, machine or Machine.here())
    stack = None
    if not files:
        problems.add("there is no stack file", hint="`backstay init` writes one")
    else:
        sources = [open_source(file, problems) for file in files]
        if all(sources):
            stack = load_sources([source for source in sources if source], wish, environ, problems)
    if warn is not None:
        for warning in sorted(problems.warnings, key=first_place):
            warn(warning)
    if problems or stack is None:
        raise ConfigErrors(list(problems))
    return stack


def load_sources(
    sources: Sequence[Source], wish: Wish, environ: Mapping[str, str], problems: Problems
) -> Stack | None:
    """Do what `load` does with bytes that are at hand; what is wrong is noted, not raised."""
    folder = wish.files[0].absolute().parent
    variables = dict(environ)
    if (folder / ".env").is_file():
        variables = {**read_env_file(folder / ".env", ".env", environ, problems), **environ}
    tree = compose(sources, variables, problems)
    return build(tree, wish, Surroundings(folder, variables, tree, problems)) if tree else None
