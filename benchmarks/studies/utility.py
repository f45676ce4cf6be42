"""Do models trained on our sketches understand people's drawings better? The tables of docs/utility.md.

    python benchmarks/studies/utility.py render --data DATA --work DIR
    python benchmarks/studies/utility.py retrieval --data DATA --work DIR [SET ...]  # again to go on
    python benchmarks/studies/utility.py ae --data DATA --work DIR [SET ...]  # beside another of these to share
    python benchmarks/studies/utility.py table --data DATA --work DIR
    python benchmarks/studies/utility.py machines --data DATA --work DIR  # the same networks with machines' drawings
    python benchmarks/studies/utility.py examples --data DATA --work DIR

DATA holds photo_sketch_pairs.tsv, the photos and drawings it names, other photos beside them (the rest of
their folders, and photos/bsds500), and the weights mobilenet_v2, squeezenet, pidinet and teed.

The same photos, none of them in the table, are drawn by every method. On each set of drawings the same small
models are trained: a retrieval network (photos through a frozen MobileNetV2 and a linear head, sketches
through a small CNN from scratch, InfoNCE) and the auto-encoder's demo recipe. Both are tested on people's
drawings, of which none is trained on: is the photo a drawing was made from among the first of all photos of
the table, and how far from it is what the auto-encoder makes of the drawing in that photo's style.

By 120 photos of the table TOM's recipe and thresholds were chosen (docs/tom-recipe.md,
docs/sketch-quality.md); on their drawings this experiment was set up ("development"). The other 138 are the
test.

The files: utility_data (photos and drawings), utility_sets (what is trained on), utility_retrieval,
utility_autoencoder, utility_results (figures and their intervals), utility_tables, utility_images.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from utility_autoencoder import AE_STEPS, auto_encoder  # noqa: E402
from utility_images import examples  # noqa: E402
from utility_results import SEEDS, claimed, result_path  # noqa: E402
from utility_retrieval import RETRIEVAL, retrieval  # noqa: E402
from utility_sets import SETS, render_all, sets_at_hand  # noqa: E402
from utility_tables import machines, table  # noqa: E402

from sketchforge.errors import SketchforgeError, UsageError  # noqa: E402
from sketchforge.utils.device import set_threads  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("render", "draw the photos by every method"),
        ("retrieval", "train and test the retrieval network; what is done is left out"),
        ("ae", "train and test the auto-encoder; what is done is left out"),
        ("table", "print tables, and leave the plot in DIR"),
        ("machines", "search with drawings by TOM and Canny instead of people's"),
        ("examples", "leave an image of what was found in DIR"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("--data", type=Path, required=True)
        command.add_argument("--work", type=Path, required=True)
        if name in ("retrieval", "ae"):
            command.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; default: all")
        if name in ("retrieval", "ae", "table"):
            usual = AE_STEPS if name == "ae" else RETRIEVAL.steps
            command.add_argument("--steps", type=int, default=usual, help=f"of a training; default: {usual}")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    set_threads(1)
    try:
        carry_out(asked)
    except (SketchforgeError, OSError) as error:
        sys.exit(f"error: {error}")


def carry_out(asked: argparse.Namespace) -> None:
    data, work = asked.data, asked.work
    if asked.command == "render":
        render_all(data, work)
    elif asked.command == "table":
        table(data, work, asked.steps)
    elif asked.command == "machines":
        machines(data, work)
    elif asked.command == "examples":
        print(examples(data, work))
    else:
        unknown = [name for name in asked.sets if name not in SETS]
        if unknown:
            raise UsageError(f"{unknown[0]}: no such set; there are {', '.join(SETS)}")
        searching = asked.command == "retrieval"
        for seed in range(SEEDS[asked.command]):  # all sets with one seed, then the next
            for name in asked.sets or sets_at_hand(work):
                path = result_path(work, asked.command, asked.steps, name, seed)
                with claimed(path) as ours:
                    if not ours:
                        continue
                    if searching:
                        recipe = replace(RETRIEVAL, steps=asked.steps)
                        write_json(path, retrieval(name, seed, data, work, recipe))
                    else:
                        write_json(path, auto_encoder(name, seed, data, work, asked.steps))
                print(path, flush=True)


if __name__ == "__main__":
    main()
