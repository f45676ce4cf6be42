"""The state that training resumes from exactly: networks, optimisers and some plain values in one file."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from sketchforge.checkpoints.runs import find_difference
from sketchforge.errors import SketchforgeError, UsageError
from sketchforge.utils.files import parse_json, write_bytes
from trainers.distributed import Ranks
from trainers.loop import Progressed

STATE_FILE, STATE_VERSION = "state.pt", 3
MOMENTS = {"step", "exp_avg", "exp_avg_sq", "momentum_buffer"}  # of Adam and of SGD


class Stateful(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


def save_state(
    run: Path,
    done: Progressed,
    parts: Mapping[str, Stateful],
    extra: Mapping[str, Any],
    identity: Mapping[str, Any],
) -> None:
    """Write what `restore_state` needs: the state_dict of every part, plain values, and whose state it is.

    identity: what determines the run, see `runs.identity_of`.
    """
    state = {
        "version": STATE_VERSION,
        "identity": json.dumps(identity, sort_keys=True),
        "step": done.step,
        "evaluation_due": done.evaluation_due,
        "extra": dict(extra),
        "parts": {name: part.state_dict() for name, part in parts.items()},
    }
    buffer = io.BytesIO()  # on a full disk torch.save raises various errors; write_bytes raises OSError
    torch.save(state, buffer)
    write_bytes(run / STATE_FILE, buffer.getbuffer())


def restore_state(
    run: Path,
    parts: Mapping[str, Stateful],
    device: torch.device,
    identity: Mapping[str, Any],
    steps: int,
    load_extra: Callable[[Mapping[str, Any]], None],
) -> Progressed:
    """Load the saved state into the parts, pass on its plain values, and return how far it is: 0 without a file.

    Raises SketchforgeError for a file that is damaged, has another version, holds other networks or belongs
    to another run, UsageError for one with more steps done than the `steps` asked for.
    """
    path = run / STATE_FILE
    if not path.is_file():
        return Progressed()
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        if state["version"] != STATE_VERSION:
            raise SketchforgeError(
                f"{path}: version {str(state['version'])[:20]}, expected {STATE_VERSION}; begin another --run"
            )
        _check_identity(path, parse_json(state["identity"]), identity)
        step, evaluation_due = state["step"], state["evaluation_due"]
        if type(step) is not int or step < 0 or type(evaluation_due) is not bool:
            raise ValueError("its step is none")
        check_steps(run, step, steps)
        if set(state["parts"]) != set(parts):
            raise ValueError("it holds other parts")
        for name, part in parts.items():
            load_part(part, state["parts"][name])
        load_extra(state["extra"])
        return Progressed(step, evaluation_due)
    except SketchforgeError:
        raise
    except Exception as error:  # torch.load raises various errors for damaged bytes
        raise SketchforgeError(
            f"{path}: cannot be read as a training state ({type(error).__name__}); restore the file, or begin another --run"
        ) from error


def broadcast_modules(ranks: Ranks, parts: Mapping[str, Stateful]) -> None:
    """Give all ranks the networks of rank 0: initial weights may be drawn otherwise on another machine."""
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            ranks.broadcast_module(part)


def check_steps(run: Path, done: int, steps: int) -> None:
    """Raise UsageError where more steps are done than asked for."""
    if done > steps:
        raise UsageError(
            f"{run}: stands at step {done}, --steps {steps} asked; ask for {done} or more, or name another --run"
        )


def _check_identity(path: Path, found: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    # As JSON has it: lists for tuples.
    if difference := find_difference(found, json.loads(json.dumps(identity))):
        raise SketchforgeError(
            f"{path}: is the state of another run, begun with {difference[0]}, where run.json has {difference[1]}; "
            "restore the file, or begin another --run"
        )


def load_part(part: Stateful, values: dict[str, Any]) -> None:
    """Load a part. Raises ValueError where torch would take values that no training has, or torch's errors."""
    expected = part.state_dict()
    if "param_groups" in expected:  # an optimiser, whose own check is of the number of parameters
        _check_groups(values["param_groups"], expected["param_groups"])
    if not all(tensor.isfinite().all() for tensor in _list_floats(values)):
        raise ValueError("a value is not finite")
    part.load_state_dict(values)
    if isinstance(part, torch.optim.Optimizer):
        for parameter, moments in part.state.items():
            shapes = {value.shape for value in moments.values() if isinstance(value, Tensor) and value.dim()}
            if shapes - {parameter.shape} or not moments.keys() <= MOMENTS:
                raise ValueError("the optimiser's moments are those of another network")


def _check_groups(groups: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """The settings of an optimiser are the recipe's, but for the learning rate, which steps set."""
    for group, expected_group in zip(groups, expected, strict=True):
        if not 0 <= float(group["lr"]) < math.inf:
            raise ValueError("the learning rate is none")
        if {**group, "lr": 0} != {**expected_group, "lr": 0}:
            raise ValueError("the optimiser has other settings")


def _list_floats(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in _list_floats(item)]
    return []
