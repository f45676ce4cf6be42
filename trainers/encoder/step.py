"""A step of the encoder's distillation: one layer learns, or all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchforge.models.encoder import Encoder, freeze
from sketchforge.utils.seeding import torch_generator
from trainers.distributed import Ranks
from trainers.encoder.student import Student, preactivations
from trainers.encoder.whitening import Head
from trainers.optimization import check_finite, cosine_decay, set_learning_rate, total_of
from trainers.state import Stateful, load_part

LAYERWISE_SHARE = 0.5  # of the steps; the rest trains all layers together
LEARNING_RATE = 2e-2  # of Adam, while one layer is trained
TOGETHER_LEARNING_RATE = 1e-3  # of Adam, while all layers are trained
ALL = "all"  # the phase in which all layers are trained


class DistillTrainer:
    """The training step of the student.

    teacher: frozen. probe: (B,3,S,S) in [-1, 1], the images that whitening and variances are measured on.
    """

    def __init__(
        self,
        teacher: Encoder,
        probe: Tensor,
        steps: int,
        seed: int,
        device: torch.device,
        ranks: Ranks = Ranks(),
    ) -> None:
        self.ranks = ranks
        self.interruptible, self.changing = device.type == "cpu", False
        self.device, self.steps = device, steps
        self.teacher = freeze(teacher).to(device)
        self.student = Student(torch_generator(seed, "encoder init")).to(device)
        self.layers = list(self.student.convs)
        self.steps_per_layer = max(int(steps * LAYERWISE_SHARE) // len(self.layers), 1)
        self.phase = ""  # the layer that learns, or ALL
        self.optimizer = PhaseOptimizer(self)
        self._rng = torch_generator(seed, "whitening")
        self._probe = probe.to(device)
        with torch.no_grad():
            self._reference = preactivations(self.teacher, self._probe, self.layers[-1])
        self.heads, self._variances = nn.ModuleDict(), {}
        for name, target in self._reference.items():
            conv = self.student.conv(name)
            same_width = conv.b.numel() == target.shape[1]
            target_values = target if same_width else F.relu(target)
            self.heads[name] = nn.Identity() if same_width else Head(conv.b.numel(), target_values)
            self._variances[name] = target_values.var(dim=(0, 2, 3), keepdim=True)
        self.heads.to(device)

    def step(self, number: int, batch: Tensor) -> dict[str, float]:
        """Update the layer whose turn it is, or all layers, on (B,3,S,S) in [-1, 1]; return the loss.

        batch: this rank's rows of it, as many as on every other rank. The loss is that of the whole batch.

        Raises FloatingPointError before the optimiser steps when the loss is not finite. What raises while
        `changing` is false leaves the state as it was.
        """
        phase = self._phase_of(number)
        if phase != self.phase:
            self._begin_phase(phase)
        images = batch.to(self.device)
        loss = self._compute_loss(images)
        mean_loss = self.ranks.mean(loss.detach())
        check_finite(mean_loss, f"the loss ({phase})")
        self.optimizer.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.average_gradients(self.list_parameters())
        self.changing = True
        set_learning_rate(self.optimizer.adam, self._get_learning_rate(number))
        nn.utils.clip_grad_norm_(self.list_parameters(), 1.0)
        self.optimizer.adam.step()
        self.changing = False
        return {"loss": float(mean_loss)}

    def list_parameters(self) -> list[nn.Parameter]:
        """The parameters that learn in this phase."""
        if self.phase == ALL:
            return [*self.student.parameters(), *self.heads.parameters()]
        return [*self.student.convs[self.phase].parameters(), *self.heads[self.phase].parameters()]

    def _phase_of(self, number: int) -> str:
        layer = number // self.steps_per_layer
        return self.layers[layer] if layer < len(self.layers) else ALL

    def _begin_phase(self, phase: str) -> None:
        """Start the layer whose turn it is on its finished predecessors, with a new optimiser.

        A layer that was half started is started again from nothing, by the same random numbers.
        """
        if phase != ALL:
            rng_state = self._rng.get_state()
            try:
                self._start_layer(phase)
                for module in (self.student.conv(phase), self.heads[phase]):
                    self.ranks.broadcast_module(module)
            except BaseException:
                self._rng.set_state(rng_state)
                raise
        self.optimizer.begin(phase)

    def _start_layer(self, name: str) -> None:
        conv, head, target = self.student.conv(name), self.heads[name], self._reference[name]
        same_width = not isinstance(head, Head)
        inputs = self.student.inputs_of(name, self._probe)
        conv.start(inputs, target if same_width else None, self._rng)
        if isinstance(head, Head):
            with torch.no_grad():
                head.start(F.relu(conv(inputs)), F.relu(target))

    def _compute_loss(self, images: Tensor) -> Tensor:
        if self.phase == ALL:
            with torch.no_grad():
                targets = preactivations(self.teacher, images, self.layers[-1])
            outputs = self.student(images)
            return total_of(self._layer_loss(name, outputs[name], targets[name]) for name in self.layers)
        with torch.no_grad():
            inputs = self.student.inputs_of(self.phase, images)
            target = preactivations(self.teacher, images, self.phase)[self.phase]
        return self._layer_loss(self.phase, self.student.convs[self.phase](inputs), target)

    def _layer_loss(self, name: str, student_output: Tensor, teacher_output: Tensor) -> Tensor:
        """Squared error over variance per channel; the variance has a floor, for the sake of faint channels.

        Equal widths are compared before the ReLU, where the problem is convex and no channel can die. A wider
        teacher is compared after the ReLU, through the 1x1 head, for the student's taps offer the values
        there.
        """
        if isinstance(self.heads[name], nn.Identity):
            difference = student_output - teacher_output
        else:
            difference = self.heads[name](F.relu(student_output)) - F.relu(teacher_output)
        variance = self._variances[name]
        return (difference.square() / (variance + 0.01 * variance.mean())).mean()

    def _get_learning_rate(self, number: int) -> float:
        if self.phase != ALL:
            return LEARNING_RATE * cosine_decay(number % self.steps_per_layer, self.steps_per_layer)
        first = self.steps_per_layer * len(self.layers)
        warm_up = min(1.0, (number - first + 1) / 50)
        return TOGETHER_LEARNING_RATE * warm_up * cosine_decay(number - first, self.steps - first)

    def stateful(self) -> dict[str, Stateful]:
        """The networks and the optimiser of a saved state, by name."""
        return {"student": self.student, "heads": self.heads, "optimizer": self.optimizer}

    def extra(self) -> dict[str, Any]:
        """The plain values of a saved state."""
        return {"rng": self._rng.get_state().tolist()}

    def load_extra(self, extra: Mapping[str, Any]) -> None:
        self._rng.set_state(torch.tensor(extra["rng"], dtype=torch.uint8))


class PhaseOptimizer:
    """Adam over the parameters of the trainer's phase; its state says of which phase it is."""

    def __init__(self, trainer: DistillTrainer) -> None:
        self._trainer = trainer
        self.adam: torch.optim.Adam

    def begin(self, phase: str) -> None:
        """Begin a phase with a new optimiser."""
        self._trainer.phase = phase
        learning_rate = TOGETHER_LEARNING_RATE if phase == ALL else LEARNING_RATE
        self.adam = torch.optim.Adam(self._trainer.list_parameters(), learning_rate, betas=(0.9, 0.99))

    def state_dict(self) -> dict[str, Any]:
        return {"phase": self._trainer.phase, "adam": self.adam.state_dict() if self._trainer.phase else {}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Raises ValueError for another phase than there is, or another optimiser than the phase's."""
        phase = state_dict["phase"]
        if phase not in (*self._trainer.layers, ALL, ""):
            raise ValueError("its phase is none")
        if phase:
            self.begin(phase)
            load_part(self.adam, state_dict["adam"])
