"""Commands, groups and options: help under headings, suggestions, one value for one option."""

from __future__ import annotations

import importlib
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import click

from cli.usage_errors import name_source, spell_out
from cli.verbosity import add_verbosity_options, begin_logging
from sketchforge.errors import SketchforgeError

GENERAL = "General"
# The headings of options, in the order in which help shows them.
HEADINGS = (
    *("Input", "Drawing", "Look", "Training", "Evaluation", "Measures"),
    *("Output", "Failures", "Machine", "Cluster", GENERAL),
)


class Option(click.Option):
    """An option under a heading of its command's help.

    group: the heading, of HEADINGS. several: what to do in place of giving the option twice.
    """

    def __init__(
        self, *args: Any, group: str = GENERAL, several: str = "give it once", **attributes: Any
    ) -> None:
        super().__init__(*args, **attributes)
        self.group = group
        self.several = several


def _format_options(command: click.Command, context: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the options under their headings."""
    sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in HEADINGS}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            sections[getattr(parameter, "group", GENERAL)].append(record)
    has_groups = any(rows for heading, rows in sections.items() if heading != GENERAL)
    for heading, rows in sections.items():
        if rows:
            with formatter.section(heading if has_groups else "Options"):
                formatter.write_dl(rows)


def _format_example(command: click.Command, formatter: click.HelpFormatter) -> None:
    """Write the epilog; a line that is too long goes on after a backslash, so that it can be copied as it stands."""
    if not command.epilog:
        return
    room = formatter.width - 2
    lines = [""]
    for word in command.epilog.split(" "):
        if lines[-1] and len(f"{lines[-1]} {word}") > room - 2:  # and " \\"
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    formatter.write_paragraph()
    text = " \\\n".join(lines) if len(command.epilog) > room else command.epilog
    for line in text.splitlines():
        formatter.write(f"  {line}\n")


class Command(click.Command):
    """A command whose options stand in groups and take one value each unless they take several.

    takes: the options that its bare words would be, in their order: an error spells the command out with them.
    """

    def __init__(self, *args: Any, takes: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.takes = takes
        add_verbosity_options(self, Option)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _format_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _format_example(self, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            self._refuse_options_of_root(ctx, args)
            _, words, given = self.make_parser(ctx).parse_args(args=list(args))
            if not any(parameter.name == "help" for parameter in given):
                self._refuse_repeated(ctx, args, given)
                self._refuse_words(ctx, args, words, given)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        from cli.variables import warn_of_unknown_variables

        begin_logging(ctx)
        warn_of_unknown_variables(ctx)
        started = time.perf_counter()
        try:
            result = super().invoke(ctx)
        except SketchforgeError as error:
            raise name_source(ctx, error) from error
        if ctx.find_root().meta.get("sketchforge.logs"):
            import logging

            logging.getLogger("cli").info("%s took %.1f s", ctx.command_path, time.perf_counter() - started)
        return result

    def _refuse_options_of_root(self, ctx: click.Context, args: list[str]) -> None:
        root = ctx.find_root()
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        for parameter in root.command.params if root is not ctx else ():
            for name in {*parameter.opts} - own:
                values = _values_given(parameter, args)
                if values or name in args:
                    words = [
                        root.command_path,
                        name,
                        *filter(None, values[:1]),
                        *ctx.command_path.split()[1:],
                    ]
                    raise click.UsageError(f"{name} goes before the command: {shlex.join(words)} …")

    def _refuse_repeated(self, ctx: click.Context, args: list[str], given: list[click.Parameter]) -> None:
        for parameter in dict.fromkeys(given):
            if not isinstance(parameter, click.Option) or given.count(parameter) == 1:
                continue
            if parameter.multiple or parameter.is_flag or parameter.count:
                continue
            values = _values_given(parameter, args)
            several = getattr(parameter, "several", "give it once")
            raise click.UsageError(
                f"{parameter.opts[0]} is given {len(values)} times: {' and '.join(values)}; {several}", ctx
            )

    def _refuse_words(
        self, ctx: click.Context, args: list[str], words: list[str], given: list[click.Parameter]
    ) -> None:
        """Refuse bare words that no argument takes, and say how the command would have to read."""
        arguments = [parameter for parameter in self.params if isinstance(parameter, click.Argument)]
        if any(argument.nargs < 0 for argument in arguments):
            return
        extra = [str(word) for word in words]
        if not extra:
            return
        names = {option for parameter in given for option in parameter.opts}
        if arguments:
            usage = " ".join(piece for piece in self.collect_usage_pieces(ctx) if not piece.startswith("["))
            raise click.UsageError(f"unexpected argument {extra[0]}; {ctx.command_path} takes one {usage}")
        if self.takes and not names & {*self.takes[:1]} and len(extra) <= len(self.takes):
            raise click.UsageError(
                f"{self.name} takes its inputs and outputs by options: {spell_out(self, ctx, extra, args)}"
            )
        # As a rule the shell has replaced a pattern by a list of files.
        raise click.UsageError(
            f"unexpected argument {extra[0]}; quote patterns, as in {(*self.takes, '--images')[0]} "
            "'photos/*.jpg'"
        )


def _values_given(option: click.Parameter, args: Sequence[str]) -> list[str]:
    """Return the values that the words give an option: "--size 3" and "--size=3"."""
    values = []
    words = iter(args)
    for word in words:
        if word == "--":
            break
        name, separator, value = word.partition("=")
        if name in option.opts and not getattr(option, "is_flag", False):
            values.append(value if separator else next(words, ""))
    return values


def nearest_names(word: str, names: Iterable[str]) -> list[str]:
    """Return the names that a mistyped word may mean: "train" -> all with that part, "rendr" -> ["render"]."""
    names = list(names)
    partly = [name for name in names if word.lower() in name.split("-")]
    return partly or get_close_matches(word.lower(), names, n=3)


class Group(click.Group):
    """A group that suggests the nearest names of its commands, and lists them under headings.

    sections: heading -> names; commands without one come under "Commands".
    """

    command_class = Command

    def __init__(
        self, *args: Any, sections: Mapping[str, Sequence[str]] | None = None, **attributes: Any
    ) -> None:
        super().__init__(*args, **attributes)
        self.sections = sections or {}
        add_verbosity_options(self, Option)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _format_example(self, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = self.list_commands(ctx)
        sectioned = {name for section in self.sections.values() for name in section}
        sections = {**self.sections, "Commands": [name for name in names if name not in sectioned]}
        longest = max(map(len, names))
        for heading, section in sections.items():
            commands = [(name, self.get_command(ctx, name)) for name in section]
            rows = [
                (name.ljust(longest), command.get_short_help_str(formatter.width))
                for name, command in commands
                if command
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word, names = str(args[0]), self.list_commands(ctx)
        if word not in names and not word.startswith("-") and not ctx.resilient_parsing:
            nearest = nearest_names(word, names)
            hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"there are {', '.join(names)}"
            raise click.UsageError(f"No such command {word!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group whose commands come from a table: name -> "module:attribute"."""

    def __init__(self, *args: Any, table: Mapping[str, str], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        module, attribute = self.table[cmd_name].split(":")
        return getattr(importlib.import_module(module), attribute)
