"""`backstay completion`, and the completion of service names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from backstay.cli.root import verb

if TYPE_CHECKING:
    from backstay.cli.options import Settings

SHELLS = {
    "bash": 'eval "$(backstay completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(backstay completion zsh)" in ~/.zshrc',
    "fish": "backstay completion fish > ~/.config/fish/completions/backstay.fish",
}


@verb("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
def command(settings: Settings, shell: str) -> None:
    r"""Print the completion script of a shell.

    \b
    bash: put  eval "$(backstay completion bash)"  into ~/.bashrc
    zsh:  put  eval "$(backstay completion zsh)"   into ~/.zshrc
    fish: backstay completion fish > ~/.config/fish/completions/backstay.fish
    """
    from click.shell_completion import get_completion_class

    from backstay.cli.root import root

    maker = get_completion_class(shell)
    assert maker is not None
    click.echo(maker(root, {}, "backstay", "_BACKSTAY_COMPLETE").source())
