"""Pictures as they come in: one file for a request, in memory while it is small and on the disk beyond that, with each picture as a stretch of it.

What is too large, too many or too slow ends while it arrives; nothing waits for the rest.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from threading import Lock

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from clipcap_cli.serving.problems import BAD_REQUEST, NO_PICTURE_TYPE, NOT_READY, TOO_LARGE, TOO_SLOW, ProblemError, retry_after
from clipcap_cli.serving.settings import Limits
from clipcap_cli.words import size

_IN_MEMORY = 1 << 20  # bytes of a request
_LONGEST_NAME = 255
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_S = 30.0  # until a client whose upload found no room may try again
_HOW = "Send multipart/form-data with a file for each picture, or the bytes of one picture as image/jpeg, image/png, … or application/octet-stream."


@dataclass
class Picture:
    """A picture of an upload: its place in the file, and the name that it came with; `too_large` pictures were not kept."""

    name: str | None
    start: int
    size: int = 0
    too_large: bool = False


class Upload:
    """What one request brought."""

    def __init__(self, limits: Limits) -> None:
        self.pictures: list[Picture] = []
        self.received = 0  # bytes of the whole body
        self._limits = limits
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # it lives as long as the request
        self._lock = Lock()
        self._end = 0

    def begin(self, name: str | None) -> None:
        """A picture starts here.

        Raises:
            ProblemError: it is one too many.
        """
        if len(self.pictures) == self._limits.pictures:
            raise ProblemError(TOO_LARGE, f"This request has more than the {self._limits.pictures} pictures that one may have.")
        self.pictures.append(Picture(name[:_LONGEST_NAME] if name else None, self._end))

    def add(self, data: bytes) -> None:
        """More bytes of the picture that was begun last."""
        picture = self.pictures[-1]
        if picture.too_large:
            return
        if picture.size + len(data) > self._limits.picture_bytes:
            picture.too_large = True
            self._end = picture.start  # its place is free again
            return
        with self._lock:
            self._file.seek(self._end)
            self._file.write(data)
        picture.size += len(data)
        self._end += len(data)

    def read(self, picture: Picture) -> bytes:
        """The bytes of a picture; from any thread.

        Raises:
            ValueError: the upload was closed meanwhile.
        """
        with self._lock:
            self._file.seek(picture.start)
            return self._file.read(picture.size)

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._file.close()


async def receive(request: Request, upload: Upload, limits: Limits) -> None:
    """Fill an upload with what a request brings.

    Raises:
        ProblemError: it is too large, too slow, broken, without a picture, or of another type.
        ClientDisconnect: the client hung up.
    """
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.request_bytes:
        raise _too_large(limits)
    try:
        if kind == b"multipart/form-data":
            await _receive_form(_chunks(request, upload, limits), parameters.get(b"boundary", b""), upload)
        elif kind.startswith(b"image/") or kind == b"application/octet-stream":
            upload.begin(None)
            async for chunk in _chunks(request, upload, limits):
                upload.add(chunk)
        else:
            told = f"The type {kind.decode('latin-1')[:80]!r} has no pictures in it." if kind else "The body has no Content-Type."
            raise ProblemError(NO_PICTURE_TYPE, f"{told} {_HOW}")
    except OSError as error:
        if error.errno in _FULL:
            raise ProblemError(NOT_READY, "The server has no room for uploads now.", retry_after(_FULL_S)) from error
        raise


async def _chunks(request: Request, upload: Upload, limits: Limits) -> AsyncIterator[bytes]:
    """The pieces of a body, within the limits of time and size."""
    stream = request.stream()
    until = time.monotonic() + limits.upload_s
    while True:
        left = until - time.monotonic()
        try:
            async with asyncio.timeout(min(limits.idle_s, left)):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            what = f"Nothing came for {limits.idle_s:g} s." if left > limits.idle_s else f"The upload took more than {limits.upload_s:g} s."
            raise ProblemError(TOO_SLOW, what, {"Connection": "close"}) from error
        if chunk is None:
            return
        upload.received += len(chunk)
        if upload.received > limits.request_bytes:
            raise _too_large(limits)
        if chunk:
            yield chunk


async def _receive_form(chunks: AsyncIterator[bytes], boundary: bytes, upload: Upload) -> None:
    form = _Form(upload)
    try:
        parser = MultipartParser(boundary, form.callbacks()) if boundary else None  # type: ignore[arg-type]  # a dictionary of its names
        async for chunk in chunks:
            if parser is None:
                raise ProblemError(BAD_REQUEST, "The type multipart/form-data has no boundary.")
            parser.write(chunk)
        if parser is not None:
            parser.finalize()
    except FormParserError as error:
        raise ProblemError(BAD_REQUEST, "This multipart body is broken or cut short.") from error
    if not form.ended:
        raise ProblemError(BAD_REQUEST, "This multipart body is broken or cut short.")
    if not upload.pictures:
        raise ProblemError(BAD_REQUEST, f"There is no picture in this request. {_HOW}")


class _Form:
    """Takes what the parser of multipart bodies finds into an upload."""

    def __init__(self, upload: Upload) -> None:
        self.ended = False
        self._upload = upload
        self._header, self._value, self._disposition = b"", b"", b""

    def callbacks(self) -> dict[str, object]:
        """By the parser's names for them."""
        names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data", "end")
        return {f"on_{name}": getattr(self, f"_on_{name}") for name in names}

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            field = options.get(b"name", b"").decode("utf-8", "replace")[:80]
            raise ProblemError(BAD_REQUEST, f"The part {field!r} is no file: options are given in the address, as in ?beams=5.")
        self._upload.begin(options[b"filename"].decode("utf-8", "replace"))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._upload.add(data[start:end])

    def _on_end(self) -> None:
        self.ended = True


def _too_large(limits: Limits) -> ProblemError:
    return ProblemError(TOO_LARGE, f"This request has more than the {size(limits.request_bytes)} that one may have.")
