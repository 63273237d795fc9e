"""Writes the reference of the command line from the commands themselves: `python -m backstay.cli.reference`.

Given a directory, it writes there; otherwise to `docs/reference` of the source tree.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from backstay.cli.root import VerbCommand, root
from backstay.cli.verbs import VERBS

HEAD = """\
<!-- Made by `make docs` from the commands; edit those. -->
# The command line

`backstay [OPTIONS] VERB [ARGS]...`: options stand before or after the verb. `-f` after `logs` and `events`
follows; there the stack file is `--file`.

Exit codes: 0 done; 1 the fleet is not as asked; 2 the input is wrong; 130 interrupted. Errors go to stderr as
`error:` (what, and where) and `hint:` (what to do). Data goes to stdout, progress to stderr; `--json` prints
data for programs. Colour is for terminals, and neither with `--no-color` nor with `NO_COLOR` set.
"""


def reference() -> str:
    """Return the page."""
    parts = [HEAD, "## Options of every verb\n", _options(click.Context(root), root.params)]
    for section in dict.fromkeys(verb.section for verb in VERBS.values()):
        parts.append(f"\n## {section}\n")
        parts += [_verb(name) for name, verb in VERBS.items() if verb.section == section]
    return "\n".join(parts)


def _verb(name: str) -> str:
    command = root.get_command(click.Context(root), name)
    assert isinstance(command, VerbCommand)
    context = click.Context(command, info_name=f"backstay {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    own = [parameter for parameter in command.params if parameter not in command.common]
    text = [
        f"### {name}\n",
        f"`backstay {name} {usage}`\n",
        _prose(command.help or ""),
        _options(context, own),
    ]
    return "\n".join(part for part in text if part)


def _prose(text: str) -> str:
    """Return help text as Markdown: what click keeps as it is becomes code."""
    paragraphs = []
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith("\b"):
            lines = paragraph.removeprefix("\b\n").splitlines()
            paragraphs.append("```sh\n" + "\n".join(line.strip() for line in lines) + "\n```")
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return "\n\n".join(paragraphs) + "\n"


def _options(context: click.Context, parameters: list[click.Parameter]) -> str:
    rows = [
        record
        for parameter in parameters
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)) is not None
    ]
    if not rows:
        return ""
    return "\n".join(
        ["| option | |", "| --- | --- |", *(f"| `{names}` | {text} |" for names, text in rows), ""]
    )


def main() -> None:
    """Write the page."""
    source = Path(__file__).resolve().parents[3]
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else source / "docs" / "reference"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cli.md").write_text(reference())


if __name__ == "__main__":
    main()
