"""What one running server holds, and whether it takes requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from clipcap_cli.serving.batching import Batcher
from clipcap_cli.serving.keys import Keys
from clipcap_cli.serving.metrics import Metrics
from clipcap_cli.serving.models import Models
from clipcap_cli.serving.problems import NOT_READY, ProblemError, retry_after
from clipcap_cli.serving.settings import Settings

_LOADING_S, _STOPPING_S = 2.0, 10.0  # until a client may ask again


class State(StrEnum):
    """What a server is at."""

    LOADING = "loading"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(eq=False)
class Service:
    """A server's parts; the routes and the middleware share it.

    Attributes:
        keys: what clients name themselves by; None where anybody may ask.
        hosts: names under which it may be asked for; None for any. Without keys these are the names of this machine for itself, so that no web page can reach
            it under a name that its owner points here (DNS rebinding).
        uploading: requests that are being received.
    """

    settings: Settings = field(default_factory=Settings)
    keys: Keys | None = None
    hosts: frozenset[str] | None = None
    metrics: Metrics = field(default_factory=Metrics)
    state: State = State.LOADING
    uploading: int = 0
    _models: Models | None = None
    _batcher: Batcher | None = None

    def start(self, batcher: Batcher) -> None:
        """In the loop of the server."""
        self._batcher = batcher
        batcher.start()

    def serve(self, models: Models) -> None:
        """From now on requests are taken."""
        self._models = models
        for told in models.describe():
            self.metrics.models.labels(told["name"], told["encoder"], told["language_model"]).set(1)
        if self.state is State.LOADING:
            self._enter(State.READY)

    @property
    def waiting(self) -> int:
        """Pictures that were taken and have no caption yet."""
        return self._batcher.waiting if self._batcher else 0

    def stop(self) -> None:
        """From now on no requests are taken; those that were are finished."""
        self._enter(State.STOPPING)

    async def finish(self) -> None:
        """Caption what was taken, and end."""
        self.stop()
        if self._batcher:
            await self._batcher.finish()

    def open(self) -> tuple[Models, Batcher]:
        """What captions are made with.

        Raises:
            ProblemError: nothing is taken now.
        """
        if self.state is State.STOPPING:
            raise ProblemError(NOT_READY, "This server is stopping.", retry_after(_STOPPING_S))
        if self._models is None or self._batcher is None:
            raise ProblemError(NOT_READY, "This server is still loading its models.", retry_after(_LOADING_S))
        return self._models, self._batcher

    def _enter(self, state: State) -> None:
        self.state = state
        self.metrics.ready.set(state is State.READY)
