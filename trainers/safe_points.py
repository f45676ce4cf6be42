"""Where a long step may be abandoned: Ctrl-C must not wait for a step of minutes, nor leave half of one.

A step computes gradients, which changes buffers only (statistics of batches, vectors of spectral norms), and
then changes weights, which is quick. While it computes, a deferred signal may raise after any module's forward
or backward pass; the buffers are then put back, and the state is that of the step before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from sketchforge.utils.signals import raise_deferred


@contextmanager
def safe_points(enabled: bool) -> Iterator[None]:
    """Let a deferred signal raise in the block, after any module's forward pass and in its backward pass."""
    hook = register_module_forward_hook(_add_safe_points) if enabled else None
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()


@contextmanager
def buffers_kept_on_error(*modules: nn.Module) -> Iterator[None]:
    """Put the buffers of `modules` back as they were when the block raises."""
    kept = [(buffer, buffer.clone()) for module in modules for buffer in module.buffers()]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
        raise


def _add_safe_points(module: nn.Module, inputs: Any, output: Any) -> None:
    raise_deferred()
    for tensor in _list_tensors(output):
        if tensor.requires_grad:
            tensor.register_hook(_raise_in_backward)


def _raise_in_backward(gradient: Tensor) -> None:
    raise_deferred()


def _list_tensors(output: Any) -> Iterable[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    values = (
        output.values() if isinstance(output, dict) else output if isinstance(output, list | tuple) else ()
    )
    return [value for value in values if isinstance(value, Tensor)]
