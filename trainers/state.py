"""The state that training resumes from exactly: networks, optimisers and some plain values in one file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from sketchforge.errors import SketchforgeError
from sketchforge.utils.files import write_bytes

STATE_FILE, STATE_VERSION = "state.pt", 2


class Stateful(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


def save_state(run: Path, step: int, parts: Mapping[str, Stateful], extra: Mapping[str, Any]) -> None:
    """Write what `restore_state` needs: the state_dict of every part, and plain values."""
    state = {"version": STATE_VERSION, "step": step, "extra": dict(extra)}
    state["parts"] = {name: part.state_dict() for name, part in parts.items()}
    buffer = io.BytesIO()  # on a full disk torch.save raises various errors; write_bytes raises OSError
    torch.save(state, buffer)
    write_bytes(run / STATE_FILE, buffer.getbuffer())


def restore_state(
    run: Path, parts: Mapping[str, Stateful], device: torch.device
) -> tuple[int, dict[str, Any]]:
    """Load the saved state into the parts and return (steps done, plain values); without a file, (0, {}).

    Raises SketchforgeError for a file that is damaged, has another version or holds other networks.
    """
    path = run / STATE_FILE
    if not path.is_file():
        return 0, {}
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        if state["version"] != STATE_VERSION:
            raise SketchforgeError(
                f"{path}: version {state['version']}, expected {STATE_VERSION}; begin another --run"
            )
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        return int(state["step"]), state["extra"]
    except SketchforgeError:
        raise
    except Exception as error:  # torch.load raises various errors for damaged bytes
        raise SketchforgeError(
            f"{path}: cannot be read as a training state ({type(error).__name__}); restore the file, or begin another --run"
        ) from error
