"""For the tests of web pages: a real browser, where there is one."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium or google-chrome on PATH")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --dump-dom"
    " --disable-background-networking --disable-component-update --disable-sync"
)
TRIES = 5


def seen_in_browser(address: str, profile: Path, *flags: str) -> Any:
    """What a page has written, as JSON between two SEEN, into an element `pre`.

    On a busy machine the browser's virtual time may end before it has drawn a frame: then the page is opened again.
    """
    for _ in range(TRIES):
        done = subprocess.run(
            [str(CHROMIUM), *FLAGS.split(), *flags, f"--user-data-dir={profile}", address],
            capture_output=True,
            text=True,
            timeout=60,
        )
        if found := re.search("<pre>SEEN(.*)SEEN", done.stdout, re.DOTALL):
            return json.loads(html.unescape(found[1]))
    pytest.fail(done.stderr[-2000:])


def seen_at_width(page: str, width: int, script: str, folder: Path) -> Any:
    """What a script sees of a page in a window of so many pixels; its `document` is that of the page.

    script: the body of a function that returns what there is to see.
    """
    frame = f'<iframe width="{width}" height="800" style="border: 0" srcdoc="{html.escape(page)}"></iframe>'
    look = f"""<script>
    addEventListener("load", () => requestAnimationFrame(() => requestAnimationFrame(() => {{
      const inner = frames[0];
      const seen = ((document, getComputedStyle) => {{ {script} }})(
        inner.document, inner.getComputedStyle.bind(inner));
      const result = document.createElement("pre");
      result.textContent = "SEEN" + JSON.stringify(seen) + "SEEN";
      document.body.replaceChildren(result);
    }})));
    </script>"""
    path = folder / "frame.html"
    path.write_text(f'<!doctype html><meta charset="utf-8"><body>{frame}{look}</body>')
    return seen_in_browser(path.as_uri(), folder / "profile", "--virtual-time-budget=2000")
