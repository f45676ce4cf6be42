"""May a shard folder be continued? A refusal names the option, and its value before and now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sketchforge.checkpoints.tom import find_tom_run, tom_run_name
from sketchforge.errors import UsageError
from sketchforge.images.sources import ImageTable
from sketchforge.options import RenderOptions
from sketchforge.shards import manifest as manifests
from sketchforge.shards import schema
from sketchforge.storage.folder import folder_at
from sketchforge.utils.files import parse_json

_REMEDY = "choose another folder for --shards (only --overwrite replaces what is there)"


def check_same_inputs(
    options: RenderOptions,
    images: ImageTable,
    previous: Mapping[str, Any],
    manifest: Mapping[str, Any],
) -> None:
    """Raise UsageError where the folder of the manifest `previous` holds other shards than `manifest` describes."""
    if previous["appended"]:
        raise UsageError(
            f"{options.shards}: images were added to it since; add --append to add more, or choose another folder for --shards"
        )
    # The number of images decides how many are in a shard, unless --samples-per-shard does, and the size of the sketches
    # that at which they are drawn.
    derived = ("samples_per_shard", "draw_size")
    given, now = ({k: v for k, v in m["options"].items() if k not in derived} for m in (previous, manifest))
    manifests.check_same(options.shards, {"options": given}, {"options": now}, ["options"])
    for name in ("styles", "digests"):
        if previous[name] != manifest[name]:
            raise UsageError(f"{options.shards}: {_compare_weights(options, previous, manifest)}; {_REMEDY}")
    if previous["inputs"] != manifest["inputs"]:
        before, now = previous["inputs"].get("count"), manifest["inputs"]["count"]
        change = _find_change(options, images, previous) or ("in another order" if before == now else "")
        raise UsageError(
            f"{options.shards}: was made from {before} --images, now {now}{change and f': {change}'}; images that were added go into new shards by --append, or into a folder of their own: {_REMEDY}"
        )
    manifests.check_same(options.shards, previous, manifest, ["options", "captioned", "extras"])


def _compare_weights(options: RenderOptions, previous: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    if options.method == "tom":
        subject = f"--tom {tom_run_name(find_tom_run(options.tom))} holds other snapshots than those it was drawn with"
    else:
        given = (
            f"--edge-weights {options.edge_weights}" if options.edge_weights else f"--method {options.method}"
        )
        subject = f"{given} has other weights than those it was drawn with"
    if previous["styles"] != manifest["styles"]:
        before, now = (", ".join(map(str, styles)) for styles in (previous["styles"], manifest["styles"]))
        return f"{subject}: styles {_shorten(before)}, now {_shorten(now)}"
    before, now = previous["digests"], manifest["digests"]
    name = next(name for name in {**before, **now} if before.get(name) != now.get(name))
    return f"{subject}: digest of {name} {str(before.get(name))[:8]}, now {str(now.get(name))[:8]}"


def _find_change(options: RenderOptions, images: ImageTable, previous: Mapping[str, Any]) -> str | None:
    """Name the first image that was removed or added; None where the sidecars do not tell.

    An image without a record counts as added only where every shard is finished.
    """
    recorded: dict[str, str] = {}
    folder = folder_at(options.shards)
    is_whole = True
    for number in range(previous["num_shards"]):
        try:
            sidecar = folder.read(schema.shard_files(number).sidecar)
            recorded.update(
                (line["key"], str(line["source"])) for line in map(parse_json, sidecar.splitlines())
            )
        except (OSError, ValueError, KeyError, TypeError):
            is_whole = False
    present = dict(images.names())
    for key, source in recorded.items():
        if present.get(key) != source:
            return f"removed {source}"
    added = next((source for key, source in present.items() if key not in recorded), None)
    return f"added {added}" if is_whole and added is not None else None


def _shorten(text: str) -> str:
    return text if len(text) < 60 else f"{text[:57]}..."
