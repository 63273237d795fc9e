"""The command group: finds verbs by name, imports the one that is called, prints its help."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from backstay.cli import report
from backstay.cli.options import Settings, common_options
from backstay.cli.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class VerbCommand(click.Command):
    """A verb: a command that takes the common options too, and shows them apart."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        attributes["context_settings"] = {**CONTEXT, **attributes.get("context_settings", {})}
        super().__init__(*args, **attributes)
        taken = {name for parameter in self.params for name in parameter.opts}
        self.common = common_options(taken)
        self.params = [*self.params, *self.common]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verb's own options, then those that every verb takes."""
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)) is not None:
                (common if parameter in self.common else own).append(record)
        with formatter.section("Options"):
            formatter.write_dl(own)
        with formatter.section("Options of every verb"):
            formatter.write_dl(common)


def verb(name: str, *, cls: type[VerbCommand] = VerbCommand) -> Callable[[Callable[..., Any]], VerbCommand]:
    """Make a function the verb `name`; it gets the `Settings` first."""

    def decorate(function: Callable[..., Any]) -> VerbCommand:
        command = click.command(name, cls=cls, short_help=VERBS[name].help)
        made = command(click.make_pass_decorator(Settings, ensure=True)(function))
        # Docstrings say `\b` in two letters where click wants the character: keep these lines as they are.
        made.help = (made.help or "").replace("\\b\n", "\b\n")
        return made

    return decorate


class Root(click.Group):
    """`backstay` itself."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb; None where there is no such verb."""
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"backstay.cli.{cmd_name}").command
        assert isinstance(command, VerbCommand)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that the arguments start with."""
        if args[0] not in VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean `{near[0]}`?" if near else "`backstay --help` lists the verbs"
            raise report.WrongUse(f"there is no verb `{args[0]}`", hint=hint)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete verbs from their table, importing none."""
        from click.shell_completion import CompletionItem

        verbs = [
            CompletionItem(name, help=it.help) for name, it in VERBS.items() if name.startswith(incomplete)
        ]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs by section, from their table."""
        width = max(map(len, VERBS))
        for section in dict.fromkeys(it.section for it in VERBS.values()):
            rows = [(name.ljust(width), it.help) for name, it in VERBS.items() if it.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write verbs before options: that is what a reader looks for."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a reader that leaves early (`| head`) had what it wanted, and is no error."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Keep the interpreter from flushing into the closed pipe when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return report.DONE
        return code

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run a verb and exit with what DESIGN.md promises; no error is a traceback, but with --debug."""
        arguments = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        extra.setdefault("prog_name", "backstay")
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        try:
            code = super().main(arguments, **extra)
        except (KeyboardInterrupt, click.Abort):
            code = 130
        except Exception as error:
            if "--debug" in arguments and not isinstance(error, click.ClickException):
                raise
            code = report.report(error)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(
    "backstay",
    cls=Root,
    context_settings=CONTEXT,
    params=common_options(),
    subcommand_metavar="VERB [ARGS]...",
)
@click.pass_context
def root(context: click.Context) -> None:
    """Runs a fleet of MCP servers and the services they need, behind one endpoint."""
    context.ensure_object(Settings)
