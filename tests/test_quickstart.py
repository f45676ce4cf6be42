"""The notebook runs from its first cell to its last, as it is typed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from PIL import Image

from tests.helpers.commands import run_python

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "quickstart.ipynb"


def script_of(notebook: Path) -> str:
    """The code of all cells as a Python script: `!sketchforge …` as a process, `%cd` as a change of folder."""
    lines = ["import os, subprocess, sys", "if __name__ != '__main__': sys.exit()"]
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        for line in "".join(cell["source"]).splitlines():
            if match := re.fullmatch(r"!sketchforge (.*)", line):
                line = f"subprocess.run([sys.executable, '-m', 'sketchforge', *{shlex.split(match[1])!r}], check=True)"
            elif match := re.fullmatch(r"%cd (.*)", line):
                line = f"os.chdir({match[1]!r})"
            assert not line.startswith(("!", "%")), line
            lines.append(line)
    return "\n".join(lines)


def test_the_notebook_runs_and_leaves_what_it_shows(tmp_path):
    done = run_python(f"import os\nos.chdir({str(tmp_path)!r})\n{script_of(NOTEBOOK)}\nrow.save('row.png')")
    assert done.returncode == 0, done.stderr[-2000:]
    folder = tmp_path / "quickstart"
    assert Image.open(folder / "row.png").size == (512, 128)
    for name in ("out/manifest.json", "sheet.png", "runs/ae/grid.png", "runs/ae/model.safetensors"):
        assert (folder / name).is_file(), name


def test_the_notebook_is_stored_without_results():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in cells)
