"""The files of a report."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from sketchforge.errors import UsageError
from sketchforge.options import EvalReportOptions
from sketchforge.report.summary.content import Report
from sketchforge.report.summary.json import report_json
from sketchforge.report.summary.markdown import report_markdown
from sketchforge.report.summary.page import write_report_page
from sketchforge.utils.files import disk_errors, write_bytes, write_json
from sketchforge.utils.outputs import check_output

# Of the images beside a Markdown report: what a report before it may have left there, and nobody else.
OURS = re.compile(r"(made|sketches|curve)-\d+\.(jpg|svg)|(best|worst)-\d+-\d+\.jpg")


def write_report(report: Report) -> list[Path]:
    """Write what `report.options` names, each file whole or not at all, and return the paths.

    Raises SketchforgeError on damaged shards or a full disk.
    """
    options = report.options
    if options.html:
        write_report_page(options.html, report)
    if options.markdown:
        _write_markdown(options.markdown, report)
    if options.json:
        with disk_errors(options.json):
            write_json(options.json, report_json(report))
    return [path for path in (options.html, options.markdown, options.json) if path]


def check_outputs(options: EvalReportOptions) -> None:
    """Raise UsageError where `write_report` would write over something that is not a report of ours."""
    for path, option in (
        (options.html, "--html"),
        (options.markdown, "--markdown"),
        (options.json, "--json"),
    ):
        check_output(path, option, options.overwrite)
    if options.markdown is None or options.overwrite or options.markdown.exists():
        return
    folder = images_folder(options.markdown)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, where the images of --markdown go; name another file")
    # Without its document nothing tells whose they are.
    if folder.is_dir() and (found := sorted(filter(OURS.fullmatch, os.listdir(folder)))):
        raise UsageError(
            f"{folder / found[0]}: is there already, but no {options.markdown.name} that shows it; name another --markdown"
        )


def images_folder(markdown: Path) -> Path:
    """Where the images of a Markdown report lie: report.files/ beside report.md."""
    return markdown.with_name(f"{markdown.stem}.files")


def _write_markdown(path: Path, report: Report) -> None:
    """First the images, and last removes what an earlier report has left: no document ever lacks its own."""
    folder = images_folder(path)
    words, images = report_markdown(report, folder.name)
    with disk_errors(folder):
        for name, data in images.items():
            write_bytes(folder / name, data)
    with disk_errors(path):
        # A file name that is no valid text shows as question marks; it does not stop the report.
        write_bytes(path, words.encode("utf-8", errors="replace"))
    with disk_errors(folder):
        _remove_others(folder, images)


def _remove_others(folder: Path, kept: Collection[str]) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name not in kept and OURS.fullmatch(path.name):
            path.unlink()
    with suppress(OSError):  # there are images, or other things
        folder.rmdir()
