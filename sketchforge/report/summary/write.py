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

# Names of the image files beside a Markdown report; files of these names are replaced and removed.
OURS = re.compile(r"made-\d+\.jpg|sketches-\d+\.(jpg|png)|curve-\d+\.svg|(best|worst)-\d+-\d+\.jpg")


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
    """Raise UsageError where `write_report` would overwrite a file that is not a report of sketchforge."""
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
    # Without their document nothing says that the images are of a report.
    if folder.is_dir() and (image_names := sorted(filter(OURS.fullmatch, os.listdir(folder)))):
        raise UsageError(
            f"{folder / image_names[0]}: is there already, but no {options.markdown.name} that shows it; "
            "name another --markdown"
        )


def images_folder(markdown: Path) -> Path:
    """The folder of a Markdown report's images: report.files/ beside report.md."""
    return markdown.with_name(f"{markdown.stem}.files")


def _write_markdown(path: Path, report: Report) -> None:
    """Write the images, then the document, then remove an earlier report's images.

    In this order no document ever lacks its images.
    """
    folder = images_folder(path)
    document, images = report_markdown(report, folder.name)
    with disk_errors(folder):
        for name, data in images.items():
            write_bytes(folder / name, data)
    with disk_errors(path):
        # A file name that is not valid text shows as question marks; it does not stop the report.
        write_bytes(path, document.encode("utf-8", errors="replace"))
    with disk_errors(folder):
        _remove_stale_images(folder, images)


def _remove_stale_images(folder: Path, names: Collection[str]) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name not in names and OURS.fullmatch(path.name):
            path.unlink()
    with suppress(OSError):  # the folder is not empty
        folder.rmdir()
