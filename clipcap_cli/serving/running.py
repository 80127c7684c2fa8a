"""A server from its first moment to its last: it takes its port, loads its models while it already answers, and finishes what it took before it ends."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from ipaddress import ip_address
from types import FrameType

import uvicorn
from fastapi import FastAPI

from clipcap_cli.errors import InputError, UsageError
from clipcap_cli.serving.app import create_app
from clipcap_cli.serving.connections import connection_of
from clipcap_cli.serving.logs import log
from clipcap_cli.serving.models import Models
from clipcap_cli.serving.service import Service
from clipcap_cli.serving.settings import Settings

_INTERRUPTED = 130
_GRACE_S = 5.0  # beyond the time that a request may take
_BACKLOG = 256  # connections that the system holds until they are accepted
_EVERYWHERE = ("0.0.0.0", "::")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


def local_names(host: str) -> frozenset[str]:
    """The names under which a machine reaches itself, and `host`."""
    return frozenset({*_LOCAL_NAMES, name_in_address(host)})


def name_in_address(host: str) -> str:
    """What stands for a host in an address that people open; for all addresses of this machine, its name."""
    if host in _EVERYWHERE:
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def check_exposure(host: str, *, has_keys: bool, insecure: bool) -> None:
    """Whether a server may be reached from `host`'s side without a key.

    Raises:
        UsageError: others could reach it, and nobody said that they may.
    """
    if not (has_keys or insecure or _is_loopback(host)):
        raise UsageError(
            f"at {host} other machines reach this server, and it has no key",
            where="--host",
            hint="Give it a file of keys with --api-key-file, or say --insecure if anybody may use it.",
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound, so that a port that is taken is known before anything is loaded; port 0 is any free one.

    Raises:
        InputError: it cannot be bound.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise InputError(f"{host!r} is no address of this machine", where="--host", hint="Use 127.0.0.1, or 0.0.0.0 for all of its addresses.") from error
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _not_bound(error, host, port) from error
    listening.setblocking(False)
    return listening


def configure(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn is to serve the application: with our limits, without its own logs, and without belief in what a client says of proxies."""
    return uvicorn.Config(
        app,
        http=connection_of(settings.limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=settings.limits.header_bytes,
        timeout_graceful_shutdown=round(settings.timeout_s + _GRACE_S),
    )


def run(service: Service, load: Callable[[], Models], listening: socket.socket, *, ready: Callable[[Models], None]) -> None:
    """Serve until a signal says to stop; a second one ends at once.

    Args:
        load: gives the models; called in a thread.
        ready: is told when pictures are taken.

    Raises:
        ClipcapError: the models could not be loaded.
    """
    failures: list[Exception] = []
    loading: list[asyncio.Task[None]] = []

    async def load_models(_: Service) -> None:
        async def loaded() -> None:
            try:
                models = await asyncio.to_thread(load)
                service.serve(models)
                ready(models)
            except Exception as error:
                failures.append(error)
                server.should_exit = True

        loading.append(asyncio.create_task(loaded()))

    server = Server(configure(create_app(service, load_models), service.settings), service)
    asyncio.run(server.serve(sockets=[listening]))
    if failures:
        raise failures[0]
    log("stopped")


class Server(uvicorn.Server):
    """uvicorn's server, which tells the service when it is to stop, and after a signal ends well."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: the first stops what comes in, the second everything."""
        if self.should_exit:
            log("ended at once", level=logging.WARNING, waiting=True)
            os._exit(_INTERRUPTED)
        self._service.stop()
        log("stopping", pictures=self._service.waiting, again="ends at once")
        self.should_exit = True


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _not_bound(error: OSError, host: str, port: int) -> InputError:
    match error.errno:
        case errno.EADDRINUSE:
            return InputError(f"port {port} is taken by another program", where="--port", hint=f"Stop that, or take another: --port {port + 1}, or 0 for any.")
        case errno.EACCES:
            return InputError(f"port {port} may not be taken by you", where="--port", hint="Ports below 1024 are the system's; take --port 8080.")
        case _:
            return InputError(f"{host!r} cannot be listened at ({error.strerror})", where="--host", hint="Use 127.0.0.1, or 0.0.0.0 for all addresses.")
