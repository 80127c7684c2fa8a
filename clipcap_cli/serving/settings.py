"""What a server does at most, and how long it waits: one place for every limit."""

from __future__ import annotations

from dataclasses import dataclass, field

from clipcap_cli.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """What one request, or one connection, may ask for.

    Attributes:
        pictures: of one request.
        picture_bytes, request_bytes: of one picture's file, and of a whole request.
        pixels: of one picture, by its header.
        header_bytes: of a request's line and headers.
        header_s: seconds in which a request's headers have to be there.
        idle_s: seconds between two pieces of an upload.
        upload_s: seconds in which a whole upload has to be there.
        uploads: requests that are received at once.
        connections: open at once.
    """

    pictures: int = 32
    picture_bytes: int = 20_000_000
    request_bytes: int = 100_000_000
    pixels: int = 50_000_000
    header_bytes: int = 32_768
    header_s: float = 10.0
    idle_s: float = 10.0
    upload_s: float = 120.0
    uploads: int = 64
    connections: int = 512


@dataclass(frozen=True)
class Settings:
    """How pictures are gathered and how long anything may take.

    Attributes:
        max_batch: pictures that are encoded and written together, at most.
        max_wait_s: how long the first of a batch waits for others that are expected, while nothing is computed.
        queue: pictures that were taken and have no caption yet, at most.
        timeout_s: from the end of an upload to its answer.
        limits: of requests and connections.
    """

    max_batch: int = 32
    max_wait_s: float = 0.03
    queue: int = 256
    timeout_s: float = 60.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.queue < self.limits.pictures:
            raise UsageError(
                f"a queue of {self.queue} has no room for a request of {self.limits.pictures} pictures",
                hint=f"Set --queue to {self.limits.pictures} or more, or --max-pictures to {self.queue} or less.",
            )
