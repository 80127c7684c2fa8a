"""What learns: a captioner with its optimiser and its schedule. One call is one step; all that it is can be put away and brought back to the bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.errors import UnreachableError
from clipcap_cli.recipe import Recipe
from clipcap_cli.training.batches import Batch
from clipcap_cli.training.objective import caption_loss, computing_in
from clipcap_cli.training.optimizer import make_optimizer, make_schedule
from clipcap_cli.training.peers import ALONE, Peers

_OPTIMIZER, _RANDOM, _ADAPTERS = "optimizer.", "random.", "adapters."


@dataclass(frozen=True)
class Learned:
    """What a step came to: the loss summed over its targets, how many those were, and the mapper's learning rate."""

    loss_sum: float
    targets: int
    rate: float


@dataclass(frozen=True)
class Momentum:
    """What a learner is beside the weights of its captioner.

    Attributes:
        tensors: moments of the optimiser and states of random streams, on the CPU; of adapters, the weights too: a bundle may hold them merged.
        facts: the rest, as plain JSON values.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Learner:
    """A captioner whose mapper (and language model, where its parameters ask for gradients) is trained in place.

    Args:
        captioner: on its device.
        steps: of the whole run, which the schedule spreads over.
        precision: "fp32" or "bf16".
        peers: those that the batches are shared with; each learns the same.
    """

    def __init__(self, captioner: Captioner, recipe: Recipe, steps: int, precision: str, peers: Peers = ALONE) -> None:
        self.captioner = captioner
        self.peers = peers
        self._seed = recipe.seed
        self._settings = recipe.train
        self._noise = recipe.encoder.noise
        self._precision = precision
        self._optimizer = make_optimizer(captioner.mapper, captioner.language_model, recipe.train)
        self._schedule = make_schedule(self._optimizer, steps, recipe.train)
        self._noise_stream = torch.Generator().manual_seed(recipe.seed)
        self._trained = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]

    def begin(self) -> None:
        """Put what is trained into training mode, with the same weights at all peers."""
        self.peers.copy_from_first(self._trained)
        self.captioner.mapper.train()
        self.captioner.language_model.train(any(parameter.requires_grad for parameter in self.captioner.language_model.parameters()))

    def step(self, batches: Sequence[Batch]) -> Learned:
        """One step of the optimiser; the batches, and the shares that peers have of them, count by their targets, as if they were one.

        Raises:
            UnreachableError: a peer is gone. Nothing was learned, and all is as it was before the step.
        """
        before = self._noise_stream.get_state()
        try:
            targets, loss_sum = self._add_up(batches)
        except UnreachableError:
            self._optimizer.zero_grad()
            self._noise_stream.set_state(before)
            raise
        if self._settings.clip_grad is not None:
            nn.utils.clip_grad_norm_(self._trained, self._settings.clip_grad)
        self._optimizer.step()
        self._optimizer.zero_grad()
        rate = float(self._schedule.get_last_lr()[0])
        self._schedule.step()
        return Learned(loss_sum, targets, rate)

    def _add_up(self, batches: Sequence[Batch]) -> tuple[int, float]:
        """Make the gradients of all batches, summed over the peers; the number of their targets, and the loss summed over these."""
        captioner, settings, device, peers = self.captioner, self._settings, self.captioner.device, self.peers
        self._draw_apart()
        targets = int(peers.total(sum(batch.count for batch in batches))[0])
        loss_sum = 0.0
        for batch in batches:
            noise = self._noise_of(batch)
            if not batch.count:  # one without anything to learn has no loss
                continue
            batch = batch.to(device)
            with computing_in(self._precision, device):
                loss = caption_loss(
                    batch,
                    captioner.preparation,
                    captioner.mapper,
                    captioner.language_model,
                    noise=noise,
                    label_smoothing=settings.label_smoothing,
                )
            (loss * (batch.count / targets)).backward()  # type: ignore[no-untyped-call]
            loss_sum += loss.item() * batch.count
        peers.add_gradients(self._trained)
        return targets, peers.total(loss_sum)[0]

    def _draw_apart(self) -> None:
        """Let dropout differ between peers, by numbers that depend on the seed, the step and the peer alone: nothing has to be kept of them."""
        if self.peers.count > 1:
            step = int(self._schedule.last_epoch)
            torch.manual_seed(int(np.random.SeedSequence([self._seed, step, self.peers.rank]).generate_state(1, np.uint64)[0]))

    def _noise_of(self, batch: Batch) -> Tensor | None:
        """Of this share of a batch. All peers draw that of the whole batch, so that it is the same however many they are."""
        if not self._noise:
            return None
        shape = (batch.whole, self.captioner.mapper.embedding_size)
        return self._noise * torch.randn(shape, generator=self._noise_stream)[self.peers.own]

    def momentum(self) -> Momentum:
        """What has to be kept beside the weights for going on as if nothing had been."""
        state = self._optimizer.state_dict()
        tensors = {f"{_RANDOM}torch": torch.get_rng_state(), f"{_RANDOM}noise": self._noise_stream.get_state()}
        if self.captioner.device.type == "cuda":
            tensors[f"{_RANDOM}cuda"] = torch.cuda.get_rng_state(self.captioner.device)
        counted: dict[str, Any] = {}
        for number, values in state["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"{_OPTIMIZER}{number}.{name}"] = value.detach().cpu()
                else:
                    counted[f"{number}.{name}"] = value
        tensors |= {_ADAPTERS + name: value.detach().cpu() for name, value in self._adapters().items()}
        schedule = {name: value for name, value in self._schedule.state_dict().items() if name != "lr_lambdas"}
        return Momentum(tensors, {"groups": state["param_groups"], "counted": counted, "schedule": schedule})

    def restore(self, source: Captioner, momentum: Momentum) -> None:
        """Be what another learner of the same recipe was.

        Args:
            source: the captioner as it was; its weights are copied.
            momentum: what `momentum` gave then.
        """
        captioner, tensors, facts = self.captioner, momentum.tensors, momentum.facts
        captioner.preparation = source.preparation.to(captioner.device)
        _copy(source.mapper.state_dict(), captioner.mapper.state_dict())
        adapters = self._adapters()
        if adapters:
            _copy({name: tensors[_ADAPTERS + name] for name in adapters}, adapters)
        elif captioner.language_model.tuned:
            _copy(source.language_model.state_dict(), captioner.language_model.state_dict())
        state: dict[int, dict[str, Any]] = {}
        for key, value in [*tensors.items(), *((_OPTIMIZER + key, value) for key, value in facts["counted"].items())]:
            if key.startswith(_OPTIMIZER):
                number, _, name = key.removeprefix(_OPTIMIZER).partition(".")
                state.setdefault(int(number), {})[name] = value.clone() if isinstance(value, Tensor) else value
        self._optimizer.load_state_dict({"state": state, "param_groups": facts["groups"]})
        self._schedule.load_state_dict({**facts["schedule"], "lr_lambdas": [None] * len(self._optimizer.param_groups)})
        torch.set_rng_state(tensors[f"{_RANDOM}torch"])
        self._noise_stream.set_state(tensors[f"{_RANDOM}noise"])
        if captioner.device.type == "cuda" and f"{_RANDOM}cuda" in tensors:
            torch.cuda.set_rng_state(tensors[f"{_RANDOM}cuda"], captioner.device)

    def _adapters(self) -> dict[str, Tensor]:
        """What is trained of a language model with adapters, by name; nothing where there are none."""
        language_model = self.captioner.language_model
        if language_model.adapters is None:
            return {}
        return {name: parameter.data for name, parameter in language_model.named_parameters() if parameter.requires_grad}


def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in target.items():
            value.copy_(source[name])
