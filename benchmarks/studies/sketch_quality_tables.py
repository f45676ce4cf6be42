"""The tables of docs/sketch-quality.md, printed from what sketch_quality.py left in DIR.

    python benchmarks/studies/sketch_quality_tables.py DIR

Intervals are those of the evaluation, over images.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

NAMES = {
    "canny": "Canny, own automatic thresholds",
    "canny-tuned": "Canny, best for these photos",
    "pidinet": "PiDiNet",
    "pidinet-tiny": "PiDiNet tiny",
    "teed": "TEED",
    "pidinet-core": "PiDiNet, two thresholds",
    "teed-core": "TEED, two thresholds",
    "drawings-1": "people, second drawings, half against half",
    "drawings-0": "people, first drawings of the same photos",
    "style_set": "drawings by other people (style_set)",
}


def main(work: Path) -> None:
    content, grey, lines = (
        json.loads((work / f"{name}.json").read_text())["rows"]
        for name in ("content", "content-grey", "lines")
    )
    print("| | F [95 %] | precision | recall |\n|---|---|---|---|")
    for row in with_block(content, "content"):
        f, precision, recall = (row["content"][name] for name in ("f_ods", "precision", "recall"))
        print(f"| {name_of(row)} | {interval(f)} | {decimal(precision)} | {decimal(recall)} |")
    print("\n| | ODS [95 %] | OIS | precision | recall |\n|---|---|---|---|---|")
    for row in with_block(grey, "content"):
        ods, *others = (row["content"][name] for name in ("f_ods", "f_ois", "precision", "recall"))
        print(f"| {name_of(row)} | {interval(ods)} | {' | '.join(map(decimal, others))} |")
    print("\n| | AUC [95 %] | KID | ink % | width px | fragments | short % |\n|---|---|---|---|---|---|---|")
    for row in with_block(lines, "realism"):
        realism, strokes = row["realism"], row["strokes"]
        ink, short = (f"{100 * strokes[name]['value']:.1f}" for name in ("ink", "short_share"))
        width, fragments = strokes["width"]["value"], strokes["fragments"]["value"]
        print(
            f"| {name_of(row)} | {interval(realism['auc'])} | {realism['kid']['value']:.2f} "
            f"| {ink} | {width:.1f} | {fragments:.0f} | {short} |"
        )
    print("\n| | Vendi [95 %] | shared lines [95 %] |\n|---|---|---|")
    for photos, rows in (("BSDS500", content), ("PACS", lines)):
        for row in with_block(rows, "variety"):
            vendi, shared = (row["variety"].get(name) for name in ("vendi", "shared"))
            print(f"| {row['name']}, {photos} | {interval(vendi, 2)} | {interval(shared)} |")


def with_block(rows: list[dict], block: str) -> list[dict]:
    return [row for row in rows if block in row]


def name_of(row: dict) -> str:
    folder = Path(row["source"]).name
    return row["name"] if folder == "tom" else NAMES.get(folder, row["name"])


def decimal(estimate: dict, places: int = 3) -> str:
    text = f"{estimate['value']:.{places}f}"
    return text.removeprefix("0") if places == 3 else text


def interval(estimate: dict | None, places: int = 3) -> str:
    if estimate is None:
        return ""
    ends = (decimal({"value": estimate[end]}, places) for end in ("low", "high"))
    return f"{decimal(estimate, places)} [{' '.join(ends)}]"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
