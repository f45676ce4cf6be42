"""The files of a report."""

from __future__ import annotations

from pathlib import Path

from sketchforge.files import write_bytes, write_json
from sketchforge.report.report_content import Report
from sketchforge.report.report_json import report_json
from sketchforge.report.report_markdown import report_markdown
from sketchforge.report.report_page import write_report_page


def write_report(report: Report) -> list[Path]:
    """Write what `report.options` names, each file whole or not at all, and return the paths.

    Raises SketchforgeError on a full disk.
    """
    options = report.options
    if options.html:
        write_report_page(options.html, report)
    if options.markdown:
        # A file name that is no valid text shows as question marks; it does not stop the report.
        write_bytes(options.markdown, report_markdown(report).encode("utf-8", errors="replace"))
    if options.json:
        write_json(options.json, report_json(report))
    return [path for path in (options.html, options.markdown, options.json) if path]
