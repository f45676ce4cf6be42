"""A network -> an ONNX model whose tensors are named and described, and whether it computes the same."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sketchforge.errors import SketchforgeError
from sketchforge.utils.versions import installed_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import onnx
    from torch import Tensor, nn

FORMAT, VERSION = "sketchforge-onnx", 1  # in the metadata of the file
PACKAGES = "onnx", "onnxscript", "onnxruntime"
TOLERANCE = 1e-4  # of values in [-1, 1]: eighty times finer than a level of 255


@dataclass(frozen=True)
class TensorSpec:
    """An input or the output of a network: float32."""

    name: str
    shape: tuple[int | str, ...]  # a text names an axis of any length
    low: float
    high: float
    meaning: str  # for the card and the metadata


def require_packages() -> None:
    """Raise SketchforgeError where a package of the extra `onnx` is missing."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise SketchforgeError(
            f"an ONNX file needs {' and '.join(missing)}, not installed: pip install 'sketchforge[onnx]'"
        )


def convert_network(
    network: nn.Module,
    example: Sequence[Tensor],
    inputs: Sequence[TensorSpec],
    output: TensorSpec,
    metadata: Mapping[str, Any],
) -> bytes:
    """The network in eval mode as the bytes of an ONNX file, which holds its weights.

    example: a tensor for every input; along axes of any length it has 2 or more. metadata: texts, or what JSON has.
    Raises SketchforgeError where torch cannot convert the network.
    """
    import torch

    axes = [
        {axis: torch.export.Dim.DYNAMIC for axis, length in enumerate(spec.shape) if isinstance(length, str)}
        for spec in inputs
    ]
    try:
        with _quietly():
            program = torch.onnx.export(
                network.eval(),
                tuple(example),
                dynamo=True,
                dynamic_shapes=tuple(axes),
                input_names=[spec.name for spec in inputs],
                output_names=[output.name],
                verbose=False,
            )
    except Exception as error:  # of any type: it runs the network and compiles what it sees
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise SketchforgeError(
            f"torch {torch.__version__} cannot convert this network to ONNX "
            f"({type(error).__name__}: {reason[:200]})"
        ) from error
    assert program is not None  # as without `dynamo`
    model = program.model_proto
    _remove_traces(model)
    _name_axes(model, [*inputs, output])
    model.producer_name, model.producer_version = "sketchforge", installed_version("sketchforge")
    description = {
        "format": FORMAT,
        "version": str(VERSION),
        "made_with": f"sketchforge {installed_version('sketchforge')}, torch {torch.__version__}",
        "inputs": [asdict(spec) for spec in inputs],
        "outputs": [asdict(output)],
    }
    for name, value in {**description, **metadata}.items():
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
        model.metadata_props.add(key=name, value=text)
    return model.SerializeToString(deterministic=True)


def measure_difference(model: bytes, cases: Sequence[tuple[Mapping[str, np.ndarray], np.ndarray]]) -> float:
    """The largest difference between what onnxruntime computes on the CPU and what is expected.

    cases: inputs by name, and the expected output. Not-a-numbers and another shape are a difference of infinity.
    Raises SketchforgeError where onnxruntime refuses the model.
    """
    import numpy as np
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    options.intra_op_num_threads = torch.get_num_threads()
    largest = 0.0
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for inputs, expected in cases:
            (found,) = session.run(None, dict(inputs))
            if found.shape != expected.shape:
                return float("inf")
            difference = float(np.abs(found - expected).max())
            largest = max(largest, difference if difference >= 0 else float("inf"))
    except Exception as error:  # onnxruntime's have no common class but this
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SketchforgeError(
            f"onnxruntime {onnxruntime.__version__} does not run this network ({reason[:200]})"
        ) from error
    return largest


def _remove_traces(model: onnx.ModelProto) -> None:
    """Remove what the converter notes of its own: source lines, with paths of this machine, and shapes between."""
    graph = model.graph
    for item in (
        model,
        graph,
        *graph.node,
        *graph.initializer,
        *graph.input,
        *graph.output,
        *model.functions,
    ):
        for name in ("metadata_props", "doc_string"):
            with suppress(ValueError):  # an older ONNX has no such field
                item.ClearField(name)
    graph.ClearField("value_info")


def _name_axes(model: onnx.ModelProto, specs: Sequence[TensorSpec]) -> None:
    for value, spec in zip([*model.graph.input, *model.graph.output], specs, strict=True):
        for axis, length in zip(value.type.tensor_type.shape.dim, spec.shape, strict=True):
            if isinstance(length, str):
                axis.dim_param = length
            else:
                axis.dim_value = length


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the converter's notes to its developers from the user's terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
