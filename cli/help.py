"""`sketchforge help [COMMAND]`: what `--help` prints, for those who type it as a command."""

from __future__ import annotations

import click

from cli.command import Command


def _complete_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the commands that begin so."""
    group = context.find_root().command
    names = group.list_commands(context) if isinstance(group, click.Group) else []
    return [name for name in names if name.startswith(incomplete)]


@click.command(
    "help",
    cls=Command,
    short_help="Show the help of a command.",
    epilog="Example: sketchforge help render",
)
@click.argument("names", nargs=-1, metavar="[COMMAND...]", shell_complete=_complete_names)
@click.pass_context
def help_command(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Show the help of a command, as `sketchforge COMMAND --help` does; without one, that of sketchforge."""
    context = ctx.find_root()
    for name in names:
        if not isinstance(context.command, click.Group):
            raise click.UsageError(f"{context.command_path} has no commands in it", context)
        _, command, _ = context.command.resolve_command(context, [name])
        assert command is not None  # an unknown name has raised
        context = click.Context(command, info_name=name, parent=context)
    click.echo(context.get_help())
