"""From the options of `render` to the sketcher that they name."""

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
    """A sketcher, the device its images go to, and the options that decide its output."""

    sketcher: Sketcher
    device: str
    options: Mapping[str, object]


def open_sketcher(options: RenderOptions) -> ReadySketcher:
    """Build the sketcher of `options.method`. Imports torch for all methods but `canny`.

    Raises UsageError for an unknown method or options that do not apply to it, and what loading the weights
    raises.
    """
    canny_thresholds = {"--canny-low": options.canny_low, "--canny-high": options.canny_high}
    inapplicable = (
        [name for name, value in canny_thresholds.items() if value is not None]
        if options.method != "canny"
        else []
    )
    if options.method != "tom":
        inapplicable += ["--tom"] if options.tom is not None else []
        inapplicable += ["--checkpoints"] if options.checkpoints != RenderOptions.checkpoints else []
    if options.edge_weights is not None and options.method in ("tom", "canny"):
        inapplicable.append("--edge-weights")
    if options.thin and options.method not in EDGE_NETWORKS:
        inapplicable.append("--thin")
    if options.precision != "float32" and options.method == "canny":
        inapplicable.append("--precision")
    if inapplicable:
        raise UsageError(f"{inapplicable[0]}: has no meaning with --method {options.method}")
    if options.draw_size is not None and options.fit != "keep" and options.draw_size > options.size:
        raise UsageError(
            f"--draw-size {options.draw_size}: is larger than --size {options.size}; sketches are drawn at their own "
            "size at most"
        )
    if options.grey_levels != RenderOptions.grey_levels and options.sketch_format != "png":
        raise UsageError(f"--grey-levels: has no meaning with --sketch-format {options.sketch_format}")
    if not 2 <= options.grey_levels <= 256:
        raise UsageError(f"--grey-levels {options.grey_levels}: expected 2 to 256")
    low = options.low_threshold
    if low is not None and low > options.threshold and options.sketch_format == "png1":
        raise UsageError(
            f"--low-threshold {low:g} lies above --threshold {options.threshold:g} and would leave out "
            "nothing: "
            "lower it, or do without"
        )
    if options.method == "canny":
        from sketchforge.sketchers.canny import CannySketcher

        canny = CannySketcher(options.canny_low, options.canny_high, options.canny_blur)
        names = ("canny_low", "canny_high", "canny_blur")
        return ReadySketcher(canny, "cpu", {name: getattr(options, name) for name in names})
    if options.method not in METHODS:
        raise UsageError(f"--method {options.method}: expected one of {', '.join(METHODS)}")
    from sketchforge.utils.device import choose_device, choose_precision, set_threads

    device = choose_device(options.device)
    precision = choose_precision(options.precision, device)
    precision_name = str(precision).removeprefix("torch.")  # "auto" is resolved by now
    threads = set_threads(options.threads)
    recorded_options: dict[str, object] = {"device": device.type}
    if precision_name != "float32":
        recorded_options["precision"] = precision_name
    # Sums are split by thread and batch, so both change the last bits of a sketch. Only TOM on a CPU draws
    # each image by itself, on one thread.
    if options.method != "tom" or device.type != "cpu":
        recorded_options |= {"batch_size": options.batch_size, "threads": threads}
    if options.method in EDGE_NETWORKS:
        from sketchforge.checkpoints.catalog import find_weights
        from sketchforge.models.hed import HED
        from sketchforge.sketchers.edge_networks import EdgeSketcher

        weights = find_weights(
            options.method, options.edge_weights, "--edge-weights FILE", asked_by=f"--method {options.method}"
        )
        # The path is not recorded: the digest identifies the weights, whatever their path.
        edges = EdgeSketcher.from_file(options.method, weights, device, precision)
        if isinstance(edges.network, HED):
            recorded_options["geometry"] = edges.network.geometry
        return ReadySketcher(edges, str(device), recorded_options)
    from sketchforge.checkpoints.tom import find_tom_run
    from sketchforge.sketchers.tom import TomSketcher

    recorded_options["checkpoints"] = options.checkpoints
    sketcher = TomSketcher.from_run(
        find_tom_run(options.tom),
        options.checkpoints,
        device,
        precision,
        or_all=options.hands_source != "none",
    )
    return ReadySketcher(sketcher, str(device), recorded_options)
