"""What sketches teach about people's drawings: the tables of docs/utility.md, "Recognition".

    python benchmarks/studies/recognition.py develop --data DATA --work DIR [--hands FILE] [--method tom] [--seed N]
    python benchmarks/studies/recognition.py develop --data DATA --work DIR --set tom10  # or --shards FOLDER
    python benchmarks/studies/recognition.py run --data DATA --work DIR [SET ...]  # what is done is left out
    python benchmarks/studies/recognition.py table --data DATA
    python benchmarks/studies/recognition.py table --data DATA --final  # once, at the very end

A classifier is trained on sketches of labelled photos and asked what people's drawings show. `develop` is for
tuning: it draws the photos with some hands, or takes a set or a shard folder that is there, and prints how many
of the drawings for development are recognised. Neither the test half nor any horse is looked at.
`photos` lists the photos for development, for a shard folder of one's own:
    python benchmarks/studies/recognition.py photos --data DATA > photos.txt
    sketchforge render --images photos.txt --shards FOLDER ...

DATA: as for utility.py, and the weights efficientnet_lite0. HED's come from `sketchforge weights install hed`.
`run` leaves one file for each set and seed in benchmarks/studies/recognition.

The files: recognition_data (photos, drawings, halves), recognition_sets (what is trained on), recognition_canny,
recognition_kept (rendering), recognition_features, recognition_classifier, recognition_retrieval,
recognition_runs (a set's results), recognition_results (figures and intervals), recognition_tables.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
from recognition_data import kept_photos, kind_of, labelled_photos, without_unseen  # noqa: E402
from recognition_features import NETWORKS  # noqa: E402
from recognition_results import (  # noqa: E402
    RESULTS,
    SEEDS,
    Answers,
    accuracies,
    interval,
    mean_aucs,
    read_results,
    result_file,
)
from recognition_runs import PEOPLE, ceiling, developed, recognition, tuning_question  # noqa: E402
from recognition_sets import (  # noqa: E402
    SETS,
    Drawn,
    drawing_methods,
    hands_digest,
    render_photos,
    shard_squares,
    sketches_for,
)
from recognition_tables import print_tables, title_of  # noqa: E402
from utility_results import claimed  # noqa: E402
from utility_tables import percent  # noqa: E402

from sketchforge.errors import SketchforgeError, UsageError  # noqa: E402
from sketchforge.utils.device import set_threads  # noqa: E402
from sketchforge.utils.files import write_json  # noqa: E402


def main() -> None:
    asked = parse_arguments()
    set_threads(1)
    try:
        if asked.command == "photos":
            print(*development_photos(asked.data, asked.seed), sep="\n")
        elif asked.command == "develop":
            develop(asked)
        elif asked.command == "run":
            run(asked)
        else:
            print_tables(asked.data, asked.results, asked.final)
    except (SketchforgeError, OSError) as error:
        sys.exit(f"error: {error}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    photos = commands.add_parser("photos", help="list the photos that `develop` trains on")
    develop = commands.add_parser(
        "develop", help="the figures for development of some hands, a set or shards"
    )
    run = commands.add_parser("run", help="all results of sets; what is done is left out")
    table = commands.add_parser("table", help="print tables of what `run` has left")
    for command in (photos, develop, run, table):
        command.add_argument("--data", type=Path, required=True)
    for command in (develop, run):
        command.add_argument("--work", type=Path, required=True, help="folder for what is drawn")
        command.add_argument("--hands", default="builtin", help="builtin, or a TOML file of hands")
    for command in (develop, run, table):
        command.add_argument("--results", type=Path, default=RESULTS, help="default: beside this file")
    for command in (photos, develop):
        command.add_argument("--seed", type=int, default=0, help="0 to 4; default: 0")
    develop.add_argument("--method", default="tom", help="whose sketches the hands draw anew; default: tom")
    source = develop.add_mutually_exclusive_group()
    source.add_argument("--set", dest="name", help=f"of {', '.join(SETS)}, in the place of --hands")
    source.add_argument("--shards", type=Path, help="a folder drawn from what `photos` lists")
    develop.add_argument(
        "--network", action="append", choices=list(NETWORKS), help="may be given twice; default: mobilenet"
    )
    run.add_argument(
        "sets", nargs="*", metavar="SET", help=f"of {', '.join((*SETS, PEOPLE))}; default: all with weights"
    )
    run.add_argument("--seeds", type=int, default=SEEDS, help=f"how many of them; default: {SEEDS}")
    table.add_argument("--final", action="store_true", help="the test half and the unseen kind: once")
    return parser.parse_args()


def development_photos(data: Path, seed: int) -> list[Path]:
    return without_unseen(kept_photos(labelled_photos(data), seed))


def develop(asked: argparse.Namespace) -> None:
    """Print accuracy and AUC on the drawings for development, beside those of sets with results."""
    start = time.perf_counter()
    asked.work.mkdir(parents=True, exist_ok=True)
    data, work, seed = asked.data, asked.work, asked.seed
    if asked.name is not None and asked.name not in SETS:
        raise UsageError(f"--set {asked.name}: no such set; there are {', '.join(SETS)}")
    with tempfile.TemporaryDirectory(prefix="develop-", dir=work) as temporary:
        folder, photos = asked.shards, development_photos(data, seed)
        if asked.name is None and folder is None:
            methods = drawing_methods(data)
            if asked.method not in methods:
                raise UsageError(f"--method {asked.method}: there are {', '.join(methods)}")
            options = methods[asked.method] | {"hands": asked.hands, "hands_seed": seed}
            options.pop("threshold", None)
            folder = render_photos(Path(temporary) / "hands", photos, options, work)
        for network in asked.network or ["mobilenet"]:
            size = NETWORKS[network].size
            if folder is None:
                parts, kinds = sketches_for(asked.name, seed, size, data, work, asked.hands)
            else:
                parts = [Drawn.whole(shard_squares(folder, size, photos))]
                kinds = np.array([kind_of(photo) for photo in photos])
            probabilities = developed(network, parts, kinds, data, work)
            count = sum(part.chosen.shape[1] for part in parts)
            print_development(asked, network, probabilities, count)
    print(f"{time.perf_counter() - start:.0f} s")


def print_development(asked: argparse.Namespace, network: str, probabilities: np.ndarray, count: int) -> None:
    question = tuning_question(asked.data)
    found = Answers.of(probabilities)
    figures = (
        accuracies(found.predicted[None], question),
        mean_aucs(found.scores[None], question),
    )
    print(f"{NETWORKS[network].title}, {count} sketches a photo, seed {asked.seed}")
    print(f"  accuracy {percent(interval(figures[0]))}, AUC {percent(interval(figures[1]))}")
    kinds = np.array([kind_of(photo) for photo in question.photos])
    shares = [
        f"{kind} {100 * (found.predicted == question.labels)[kinds == kind].mean():.0f}"
        for kind in dict.fromkeys(kinds)
    ]
    print(f"  recognised of each kind: {', '.join(shares)}")
    for name in (*SETS, PEOPLE):
        results = read_results(asked.results, name)
        if name == PEOPLE and results:
            results = {asked.seed: results[0]}
        if asked.seed not in results:
            continue
        predicted, scores = question.answers([results[asked.seed]], network)
        others = accuracies(predicted, question), mean_aucs(scores, question)
        text = ", ".join(
            f"{what} {100 * other[0]:.1f} ({percent(interval(ours - other), '+')})"
            for what, ours, other in zip(("accuracy", "AUC"), figures, others, strict=True)
        )
        print(f"  beside {title_of(name)}: {text}")


def run(asked: argparse.Namespace) -> None:
    """One seed of all sets, then the next; several of these commands share the work."""
    asked.work.mkdir(parents=True, exist_ok=True)
    for name in asked.sets:
        if name not in (*SETS, PEOPLE):
            raise UsageError(f"{name}: no such set; there are {', '.join((*SETS, PEOPLE))}")
    methods = {*drawing_methods(asked.data), "photos", "canny_random"}
    at_hand = [
        name
        for name, wanted in SETS.items()
        if all(part.source.removeprefix("hands-") in methods for part in wanted.parts)
    ]
    for seed in range(asked.seeds):
        for name in asked.sets or [PEOPLE, *at_hand]:
            if name == PEOPLE and seed:
                continue
            path = result_file(asked.results, name, seed)
            if name in SETS and SETS[name].has_hands:
                remove_outdated(path, asked.hands)
            with claimed(path) as ours:
                if ours:
                    start = time.perf_counter()
                    if name == PEOPLE:
                        result = ceiling(asked.data, asked.work)
                    else:
                        result = recognition(name, seed, asked.data, asked.work, asked.hands)
                    write_json(path, result)
                    print(f"{path.name}: {time.perf_counter() - start:.0f} s", flush=True)


def remove_outdated(path: Path, hands: str) -> None:
    """Remove a result of other hands."""
    if path.is_file() and json.loads(path.read_text())["hands"] != hands_digest(hands):
        path.unlink()


if __name__ == "__main__":
    main()
