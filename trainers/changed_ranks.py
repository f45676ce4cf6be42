"""A run that goes on with another number of ranks than it was begun with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sketchforge.errors import UsageError
from sketchforge.utils.text import count_noun
from trainers.distributed import Ranks

Record = Mapping[str, Any]

FOLLOWING = ("threads", "accumulate")  # options that follow from the number of ranks


def number_of_ranks(record: Record) -> int:
    """The ranks that a run was begun with."""
    return int(record.get("world_size", 1))


def keep_ranks_of(found: Record, record: Record) -> dict[str, Any]:
    """The record with the number of ranks, and what follows from it, that the run was begun with.

    For runs whose batches stay the same; see `note_change`.
    """
    if number_of_ranks(found) == number_of_ranks(record):
        return dict(record)
    begun = {name: value for name, value in found.get("options", {}).items() if name in FOLLOWING}
    return {**record, "options": {**record["options"], **begun}, "world_size": number_of_ranks(found)}


def choose_accumulate(found: Record, accumulate: int, ranks: Ranks, name: str) -> int:
    """The micro-batches that each of these ranks takes, so that a batch has as many as it had before.

    accumulate: as asked for. name: of the run folder. Where it is neither what the run was begun with nor what
    these ranks need, it is returned as it is. Raises UsageError where the ranks cannot share the micro-batches.
    """
    begun, begun_ranks = found.get("options", {}).get("accumulate"), number_of_ranks(found)
    if not isinstance(begun, int) or begun_ranks == ranks.world_size:
        return accumulate
    needed, rest = divmod(begun * begun_ranks, ranks.world_size)
    if accumulate not in (begun, needed):
        return accumulate
    if rest:
        parts = begun * begun_ranks
        counts = [count for count in range(1, parts + 1) if parts % count == 0]
        raise UsageError(
            f"{name}: its batches are in {count_noun(parts, 'part')}, which {count_noun(ranks.world_size, 'rank')} "
            f"cannot share evenly; start {' or '.join(map(str, counts))}, or begin another --run"
        )
    return needed


def check_shares(batch_size: int, ranks: Ranks) -> None:
    """Raise UsageError where the ranks cannot share a batch evenly."""
    if batch_size % ranks.world_size:
        raise UsageError(f"--batch-size {batch_size}: cannot be divided among {ranks.world_size} ranks")


def note_change(found: Record, ranks: Ranks, accumulate: int | None = None) -> list[str]:
    """A line for the user where a run goes on with another number of ranks; none where it does not.

    accumulate: the micro-batches of each rank, where batches have such.
    """
    if number_of_ranks(found) == ranks.world_size:
        return []
    shares = "" if accumulate is None else f" in the same parts, {accumulate} for each rank"
    return [
        f"begun with {_count(number_of_ranks(found))}, goes on with {_count(ranks.world_size)}: the same "
        f"batches{shares}; sums are made in another order, so the last digits may differ"
    ]


def _count(ranks: int) -> str:
    return "1 process" if ranks == 1 else f"{ranks} ranks"
