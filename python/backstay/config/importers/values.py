"""Texts of another tool's file as a stack file's: variables kept, secrets taken out, the rest escaped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from backstay.config.templates import escape

if TYPE_CHECKING:
    from backstay.config.importers.imported import Draft
    from backstay.config.problems import Place

SECRET_NAME: Final = re.compile(
    r"(^|[_-])(token|secret|passw(or)?d|passphrase|api_?key|access_?key|private_?key|credentials?|pat|auth|key)s?($|[_-])",
    re.IGNORECASE,
)
"""Names of variables and options that hold secrets."""
NOT_SECRET: Final = re.compile(
    r"(^|[_-])(key_?(id|file|path|prefix)|public_?key|file|path|url|host)($|[_-])", re.IGNORECASE
)
SECRET_VALUE: Final = re.compile(
    r"sk-[A-Za-z0-9_-]{8,}|gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{12,}|xox[abeprs]-[\w-]{8,}|AKIA[A-Z0-9]{12,}"
    r"|ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[\w-]*|[Bb]earer\s+\S+|[a-z][a-z0-9+]*://[^/\s:@]+:[^/\s@]+@\S+"
)
"""Values that are secrets whatever their name: known forms of tokens, and addresses with a password."""
LONGEST: Final = 4096
VARIABLE: Final = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)((?::?[-?+])[^{}]*)?\}")
PLACES: Final = {
    "workspaceFolder": "{{ fleet.dir }}",
    "workspaceRoot": "{{ fleet.dir }}",
    "userHome": "${HOME}",
}
INPUT: Final = re.compile(r"\$\{input:([^}]+)\}")
FOREIGN: Final = re.compile(r"\$\{(workspaceFolder(?:Basename)?|workspaceRoot|userHome|pathSeparator|/)\}")


def carried(text: str) -> str:
    """Return a text with the variables that both tools know, and the rest of what would be read escaped.

    >>> carried("${env:HOME}/x"), carried("cost: $5"), carried("{{x}}"), carried("${input:api-key}")
    ('${HOME}/x', 'cost: $$5', "{{ '{{' }}x}}", '${API_KEY}')
    """
    parts, position = [], 0
    for match in re.finditer(f"{VARIABLE.pattern}|{INPUT.pattern}|{FOREIGN.pattern}", text):
        parts.append(_literal(text[position : match.start()]))
        parts.append(_variable(match))
        position = match.end()
    return "".join([*parts, _literal(text[position:])])


def _literal(text: str) -> str:
    return escape(text).replace("$", "$$")


def _variable(match: re.Match[str]) -> str:
    name, operation, asked, place = match.groups()
    if name in PLACES:
        return PLACES[name]
    if name:
        return f"${{{name}{operation or ''}}}"
    if asked:
        return f"${{{variable_name(asked)}}}"
    return {"/": "/", "pathSeparator": "/"}.get(place, PLACES.get(place, "{{ fleet.name }}"))


def variable_name(*words: str) -> str:
    """Make the name of an environment variable.

    >>> variable_name("my-server", "api key")
    'MY_SERVER_API_KEY'
    """
    name = re.sub(r"[^A-Za-z0-9]+", "_", "_".join(words)).strip("_").upper()
    return name if name[:1].isalpha() else f"V_{name}"


def is_secret(name: str, value: str) -> bool:
    """Whether a value had better not be written down, by its name or its form."""
    if not value or "${" in value:
        return False
    return bool(SECRET_VALUE.search(value[:LONGEST])) or bool(
        SECRET_NAME.search(name) and not NOT_SECRET.search(name)
    )


def carry(draft: Draft, service: str, name: str, value: str, place: Place, *, own_name: bool = False) -> str:
    """Carry a value that has a name: as it is, or as `${VAR}` with a note where it looks like a secret.

    The variable is named after service and value, or with `own_name` after the value alone.
    """
    if not is_secret(name, value):
        return carried(value)
    variable = variable_name(name) if own_name else variable_name(service, name)
    if draft.variables.get(variable, value) != value:
        variable = variable_name(service, name)
    draft.variables[variable] = value
    draft.note(
        place, f"looks like a secret; written as `${{{variable}}}`: set it in the environment or in `.env`"
    )
    bearer = re.match(r"[Bb]earer\s+", value)
    return f"{bearer[0] if bearer else ''}${{{variable}}}"


def carry_words(draft: Draft, service: str, words: list[str], places: list[Place]) -> list[str]:
    """Carry the words of a command; `--token VALUE` and `--token=VALUE` are values that have a name."""
    result = []
    option = ""
    for word, place in zip(words, places, strict=True):
        name, equals, value = word.partition("=")
        if name.startswith("-") and equals:
            result.append(f"{name}={carry(draft, service, name.lstrip('-'), value, place)}")
        elif option and not word.startswith("-"):
            result.append(carry(draft, service, option, word, place))
        else:
            result.append(carry(draft, service, "url" if "://" in word else "argument", word, place))
        option = word.lstrip("-") if word.startswith("-") and not equals else ""
    return result
