"""`sketchforge app`"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any, NoReturn

import click

from cli.interruptions import Terminated
from cli.multi_value import ManyCommand
from cli.options import MODEL, defaults_of, device_option, on_interrupt, option, threads_option
from cli.progress import Bar
from cli.source_types import SourceText
from sketchforge.errors import UsageError
from sketchforge.options import AppOptions

DEFAULTS = defaults_of(AppOptions)


@click.command(
    "app",
    cls=ManyCommand,
    takes=("--model",),
    short_help="A page to draw on.",
    epilog="Example: sketchforge app --model builtin --style paintings/",
)
@option(
    "--model",
    group="Input",
    type=MODEL,
    metavar="builtin|FILE|DIR",
    help="The model to begin with, as for `synthesize`; finished ones in runs/ can be chosen on the page. "
    "[default: runs/gan, else runs/ae, else builtin]",
)
@option(
    "--style",
    group="Input",
    type=SourceText(),
    multiple=True,
    metavar="SRC…",
    help="Images whose style to take on, beside the built-in photos and those added on the page.",
)
@option(
    "--browser/--no-browser",
    group="Output",
    default=DEFAULTS["browser"],
    show_default=True,
    help="Open the page in a browser.",
)
@option(
    "--host",
    group="Machine",
    default=DEFAULTS["host"],
    show_default=True,
    metavar="ADDRESS",
    help="Where to listen; by default this machine alone reaches the page.",
)
@option(
    "--port",
    group="Machine",
    type=click.IntRange(0, 65535),
    default=DEFAULTS["port"],
    show_default=True,
    metavar="N",
    help="0: any that is free.",
)
@threads_option(DEFAULTS["threads"])
@device_option(DEFAULTS["device"])
def app_command(**values: Any) -> None:
    """Serve a page to draw on: drawings become images as they grow, photos are drawn by ten hands.

    It prints the page's address and runs until Ctrl-C. Nothing leaves this machine, and nothing is written.
    """
    options = AppOptions(**values)
    try:
        from sketchforge.app.serve import serve_app
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise UsageError(f"{error.name} is not installed: pip install 'sketchforge[app]'") from error

    def announce(address: str) -> None:
        click.echo(f"{address} (Ctrl-C ends it)")
        if options.browser and _has_display():
            import webbrowser

            webbrowser.open(address)

    try:
        with on_interrupt(lambda: "the page is closed; drawings stay in the browser"):
            serve_app(options, announce, Bar())
    except KeyboardInterrupt as error:
        _end_now(signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


def _end_now(by: signal.Signals) -> NoReturn:
    """End the process, with whatever is being computed for a page.

    Threads may be inside torch, which aborts where the interpreter is taken down around it; no file is open.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(128 + by)


def _has_display() -> bool:
    """Without one a browser would be a text browser, in this terminal."""
    is_desktop = sys.platform in ("darwin", "win32")
    return is_desktop or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
