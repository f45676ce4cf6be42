"""`--config FILE.toml`: options from a file, one table per command."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import click


def read_config(path: Path, ctx: click.Context, group: click.Group) -> dict[str, dict[str, Any]]:
    """Command -> option -> value, names as click's `default_map` wants them.

    Keys may be written with hyphens or underscores. Raises click.BadParameter for anything that no command
    knows, since click itself would ignore it silently.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.BadParameter(
            f"{path}: cannot be read as TOML ({error})", ctx=ctx, param_hint="--config"
        ) from error
    return {name: _table(path, "", name, table, ctx, group) for name, table in tables.items()}


def _table(
    path: Path, above: str, name: str, table: Any, ctx: click.Context, group: click.Group
) -> dict[str, Any]:
    """The options of one command; those of a group are tables in its own, `above` being "eval." then."""
    command = group.get_command(ctx, name)
    if command is None or not isinstance(table, dict):
        known = ", ".join(f"[{above}{other}]" for other in group.list_commands(ctx))
        raise click.BadParameter(
            f"{path}: unknown table [{above}{name}]; known are {known}", ctx=ctx, param_hint="--config"
        )
    if isinstance(command, click.Group):
        return {key: _table(path, f"{above}{name}.", key, part, ctx, command) for key, part in table.items()}
    options = [option.name for option in command.params if isinstance(option, click.Option) and option.name]
    found = {}
    for key, value in table.items():
        if key.replace("-", "_") not in options:
            raise click.BadParameter(
                f"{path}: unknown key {key!r} in [{above}{name}]; known are {', '.join(options)}",
                ctx=ctx,
                param_hint="--config",
            )
        found[key.replace("-", "_")] = value
    return found
