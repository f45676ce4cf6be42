"""From the options of `render` to the sketcher they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sketchforge.errors import UsageError
from sketchforge.options import RenderOptions
from sketchforge.sketchers.base import Sketcher

EDGE_NETWORKS = ("hed", "pidinet", "teed")
METHODS = ("tom", "canny", *EDGE_NETWORKS)


@dataclass(frozen=True)
class ReadySketcher:
    """A sketcher, the device its images go to, and those options that decide how its lines come out."""

    sketcher: Sketcher
    device: str
    options: Mapping[str, object]


def open_sketcher(options: RenderOptions) -> ReadySketcher:
    """Load what `options.method` draws with. Imports torch for all methods but `canny`.

    Raises UsageError for an unknown method or unfitting options, and whatever loading the weights raises.
    """
    given = {"--canny-low": options.canny_low, "--canny-high": options.canny_high}
    odd = [name for name, value in given.items() if value is not None] if options.method != "canny" else []
    if options.edge_weights is not None and options.method in ("tom", "canny"):
        odd.append("--edge-weights")
    if options.precision != "float32" and options.method == "canny":
        odd.append("--precision")
    if odd:
        raise UsageError(f"{odd[0]}: has no meaning with --method {options.method}")
    if options.method == "canny":
        from sketchforge.sketchers.canny import CannySketcher

        canny = CannySketcher(options.canny_low, options.canny_high, options.canny_blur)
        recorded = {name: getattr(options, name) for name in ("canny_low", "canny_high", "canny_blur")}
        return ReadySketcher(canny, "cpu", recorded)
    if options.method not in METHODS:
        raise UsageError(f"--method {options.method}: expected one of {', '.join(METHODS)}")
    from sketchforge.utils.device import choose_device, choose_precision, set_threads

    device = choose_device(options.device)
    precision = choose_precision(options.precision, device)
    computed_in = str(precision).removeprefix("torch.")  # of "auto", what it comes to
    threads = set_threads(options.threads)
    recorded: dict[str, object] = {"device": device.type}
    if computed_in != "float32":
        recorded["precision"] = computed_in
    if options.method != "tom" or device.type != "cpu":  # there TOM draws every image alone, on one thread
        # Sums are split by thread and batch, so both decide the last bits of a sketch.
        recorded |= {"batch_size": options.batch_size, "threads": threads}
    if options.method in EDGE_NETWORKS:
        from sketchforge.checkpoints.catalog import find_weights
        from sketchforge.sketchers.edge_networks import EdgeSketcher

        weights = find_weights(
            options.method, options.edge_weights, "--edge-weights FILE", asked_by=f"--method {options.method}"
        )
        # Not the path: the digest says which weights they are, wherever they lie.
        edges = EdgeSketcher.from_file(options.method, weights, device, precision)
        return ReadySketcher(edges, str(device), recorded)
    from sketchforge.checkpoints.tom import find_tom_run
    from sketchforge.sketchers.tom import TomSketcher

    recorded["checkpoints"] = options.checkpoints
    sketcher = TomSketcher.from_run(find_tom_run(options.tom), options.checkpoints, device, precision)
    return ReadySketcher(sketcher, str(device), recorded)
