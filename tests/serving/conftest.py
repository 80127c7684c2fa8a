"""A real server on a free port of this machine, with a small captioner that was never trained (see `served`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from served import GatedEncoder, Running, make_captioner, running

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.serving.models import Model, Models
from clipcap_cli.serving.service import Service
from clipcap_cli.serving.settings import Settings


@pytest.fixture(scope="session")
def captioner() -> Captioner:
    return make_captioner()


@pytest.fixture(scope="session")
def models(captioner: Captioner) -> Models:
    """Two names of one captioner; `colours` is the default."""
    return Models({name: Model(name, captioner, captioner.load_encoder()) for name in ("colours", "shades")})


@pytest.fixture
def gated(captioner: Captioner) -> Iterator[tuple[Models, GatedEncoder]]:
    """A model whose encoder waits for its gate, and that encoder."""
    encoder = GatedEncoder()
    yield Models({"gated": Model("gated", captioner, encoder)}), encoder
    encoder.gate.set()


@pytest.fixture
def serve(models: Models) -> Iterator[Callable[..., Running]]:
    """A function that starts a server with the two small models, or others: `serve()`, `serve(Settings(queue=32), keys=…)`."""
    with ExitStack() as stack:

        def start(settings: Settings | None = None, served: Models = models, **parts: Any) -> Running:
            service = Service(settings or Settings(), **parts)
            service.serve(served)
            return stack.enter_context(running(service))

        yield start


@pytest.fixture(scope="module")
def server(models: Models) -> Iterator[Running]:
    """A server that the tests of a file share, with the usual limits."""
    service = Service()
    service.serve(models)
    with running(service) as started:
        yield started
