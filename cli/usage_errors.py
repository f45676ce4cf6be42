"""Errors of usage in one line: where a value came from, what was meant, how the command should read."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import click
from click.core import ParameterSource

from sketchforge.errors import SketchforgeError

DESTRUCTIVE = ("--overwrite",)  # options that discard something are never suggested
CONFIG = "sketchforge.config"  # in a context's meta: the path of the configuration file
# click's names of its number types are no words of a sentence.
_KINDS = {
    "a valid integer range": "a whole number",
    "a valid integer": "a whole number",
    "a valid float range": "a number",
    "a valid float": "a number",
}


def describe_usage_error(error: click.UsageError) -> str:
    """Return the line that tells a user what is wrong with the words, variables or configuration."""
    context = error.ctx
    if isinstance(error, click.NoSuchOption):
        return _describe_unknown_option(error)
    message = error.format_message().removesuffix(".")
    if isinstance(error, click.BadParameter):
        for kind, words in _KINDS.items():
            message = message.replace(f"is not {kind}", f"is not {words}")
        source = None
        if context and error.param and not isinstance(error, click.MissingParameter):
            source = describe_source(context, error.param)
        if source:
            message = f"{source}: {message.partition(': ')[2]}"
    return message + _see_help(context)


def describe_source(context: click.Context, parameter: click.Parameter) -> str | None:
    """Say which variable, or which key of which file, a value came from; None for the command line."""
    source = context.get_parameter_source(parameter.name or "")
    if source is ParameterSource.ENVIRONMENT:
        return variable_of(context, parameter)
    if source is ParameterSource.DEFAULT_MAP:
        table = ".".join(context.command_path.split()[1:])
        return f"{context.find_root().meta.get(CONFIG, '--config')}, [{table}] {parameter.name}"
    return None


def variable_of(context: click.Context, parameter: click.Parameter) -> str:
    """Return the name of the variable that sets an option: SKETCHFORGE_RENDER_SIZE."""
    if isinstance(parameter.envvar, str):
        return parameter.envvar
    return f"{context.auto_envvar_prefix}_{(parameter.name or '').upper()}"


def name_source(context: click.Context, error: SketchforgeError) -> SketchforgeError:
    """Return the error, with the variable or file added that its option's value came from."""
    text = str(error)
    for parameter in context.command.params:
        source = describe_source(context, parameter) if isinstance(parameter, click.Option) else None
        value = context.params.get(parameter.name or "")
        named = any(text.startswith((f"{option} ", f"{option}:")) for option in parameter.opts)
        if source and (named or (isinstance(value, str) and text.startswith(f"{value}:"))):
            named_error = type(error)(f"{source}: {text}")
            named_error.exit_code = error.exit_code
            return named_error
    return error


def spell_out(
    command: click.Command, context: click.Context, words: Sequence[str], args: Sequence[str]
) -> str:
    """Write a command with bare words as it would have to read, with what it needs besides.

    words: the bare words; args: all of them, options and their values included.
    """
    takes: Sequence[str] = getattr(command, "takes", ())
    pairs = zip(takes, words, strict=False)
    line = [*context.command_path.split(), *(word for pair in pairs for word in pair)]
    line += _without_bare_words(command, args)
    missing = [
        f"{parameter.opts[0]} {parameter.metavar}"
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.required and parameter.opts[0] not in line
    ]
    return " ".join([shlex.join(line), *missing])


def _without_bare_words(command: click.Command, args: Sequence[str]) -> list[str]:
    """Return the options among the words, each with its value."""
    flags = {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    kept: list[str] = []
    words = iter(args)
    for word in words:
        if word.startswith("-") and word != "-":
            kept.append(word)
            if word not in flags and "=" not in word:
                kept += [value for value in [next(words, None)] if value is not None]
    return kept


def _describe_unknown_option(error: click.NoSuchOption) -> str:
    context, message = error.ctx, f"No such option {error.option_name!r}"
    if context is not None and context.parent is None:
        return f"{message}; options of a command come after its name{_see_help(context)}"
    nearest = [option for option in error.possibilities or () if option not in DESTRUCTIVE]
    hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
    return message + hint + _see_help(context)


def _see_help(context: click.Context | None) -> str:
    return f"; see `{context.command_path} --help`" if context else ""
