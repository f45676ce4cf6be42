"""`--config FILE.toml`: options from a file, one table per command."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import click


def read_config(path: Path, ctx: click.Context, group: click.Group) -> dict[str, dict[str, Any]]:
    """Return command -> option -> value, named as click's `default_map` expects.

    Keys may be written with hyphens or underscores. Raises click.BadParameter for a table or key that no command
    knows, since click itself would ignore it silently.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.BadParameter(
            f"{path}: cannot be read as TOML ({error})", ctx=ctx, param_hint="--config"
        ) from error
    return {name: _read_table(path, "", name, table, ctx, group) for name, table in tables.items()}


def _read_table(
    path: Path, prefix: str, name: str, table: Any, ctx: click.Context, group: click.Group
) -> dict[str, Any]:
    """Return the options of a command, or a dict of them by command if it is a group.

    prefix: what precedes the table's name, "" for [render] and "eval." for [eval.sketches].
    """
    command = group.get_command(ctx, name)
    if command is None or not isinstance(table, dict):
        known = ", ".join(f"[{prefix}{known_name}]" for known_name in group.list_commands(ctx))
        raise click.BadParameter(
            f"{path}: unknown table [{prefix}{name}]; known are {known}", ctx=ctx, param_hint="--config"
        )
    if isinstance(command, click.Group):
        return {
            key: _read_table(path, f"{prefix}{name}.", key, subtable, ctx, command)
            for key, subtable in table.items()
        }
    options = [option.name for option in command.params if isinstance(option, click.Option) and option.name]
    values = {}
    for key, value in table.items():
        if key.replace("-", "_") not in options:
            raise click.BadParameter(
                f"{path}: unknown key {key!r} in [{prefix}{name}]; known are {', '.join(options)}",
                ctx=ctx,
                param_hint="--config",
            )
        values[key.replace("-", "_")] = value
    return values
