"""From a request's body to its results: the upload is received, its pictures are queued, and each becomes a caption or a problem."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request

from clipcap_cli.datasets.pictures import TooManyPixelsError
from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.serving.batching import Batcher, Job, QueueFullError
from clipcap_cli.serving.decoding_options import Asked, Options, asked_of
from clipcap_cli.serving.logs import log
from clipcap_cli.serving.models import Model
from clipcap_cli.serving.problems import BAD_OPTION, BUG, QUEUE_FULL, TOO_LARGE, TOO_LATE, UNREADABLE, ProblemError, retry_after
from clipcap_cli.serving.service import Service
from clipcap_cli.serving.uploads import Picture, Upload, receive
from clipcap_cli.words import sentences, size

if TYPE_CHECKING:
    from clipcap_cli.captioner.captioner import Caption

_DECODE = "decode."  # where errors about settings say they are


async def caption(request: Request, options: Options, service: Service) -> dict[str, Any]:
    """The answer to a request for captions.

    Raises:
        ProblemError: no picture could be captioned.
        ClientDisconnect: the client hung up.
    """
    models, batcher = service.open()
    try:
        model = models.named(options.model)
        asked = asked_of(options, model.captioner.decode)
    except InputError as error:
        raise _bad_option(error) from error
    upload = Upload(service.settings.limits)
    try:
        await _receive(request, upload, service, batcher)
        service.open()  # it may have begun to stop
        results = await _results(request, upload, model, asked, service, batcher)
    finally:
        upload.close()
        service.metrics.received.inc(upload.received)
    for result in results:
        service.metrics.pictures.labels(_outcome(result)).inc()
    request.state.pictures = len(results)
    told = [_told(picture, result, asked.candidates) for picture, result in zip(upload.pictures, results, strict=True)]
    _raise_if_none(results, told)
    return {"model": model.name, "results": told}


async def _receive(request: Request, upload: Upload, service: Service, batcher: Batcher) -> None:
    try:
        batcher.check_room()
    except QueueFullError as error:
        raise _full(error) from error
    if service.uploading >= service.settings.limits.uploads:
        raise ProblemError(QUEUE_FULL, "This server receives as many uploads as it can.", retry_after(1.0))
    service.uploading += 1
    try:
        with service.metrics.uploads.track_inprogress(), batcher.expecting():
            await receive(request, upload, service.settings.limits)
    finally:
        service.uploading -= 1


async def _results(request: Request, upload: Upload, model: Model, asked: Asked, service: Service, batcher: Batcher) -> Sequence[Caption | ProblemError]:
    """Of each picture its caption or its problem, in their order."""
    jobs = {
        number: Job(model, asked.decode, asked.seed, number, partial(upload.read, picture))
        for number, picture in enumerate(upload.pictures)
        if not picture.too_large
    }
    try:
        batcher.submit(list(jobs.values()))
    except QueueFullError as error:
        raise _full(error) from error
    await _wait(request, list(jobs.values()), service)
    limit = service.settings.limits.picture_bytes
    too_large = ProblemError(TOO_LARGE, f"This picture's file has more than the {size(limit)} that one may have.")
    return [_result(jobs[number]) if number in jobs else too_large for number in range(len(upload.pictures))]


async def _wait(request: Request, jobs: list[Job], service: Service) -> None:
    """Until every job has its caption; whoever is late, or whose client hung up, is dropped.

    Raises:
        ProblemError: time was up.
        ClientDisconnect: the client hung up.
    """
    if not jobs:
        return
    hung_up = asyncio.create_task(_hung_up(request))
    captions = asyncio.create_task(asyncio.wait([job.caption for job in jobs]))
    try:
        done, _ = await asyncio.wait({hung_up, captions}, timeout=service.settings.timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if captions in done:
            return
        dropped = sum(not job.caption.done() for job in jobs)
        service.metrics.pictures.labels("hung-up" if done else "late").inc(dropped)
        if done:
            raise ClientDisconnect
        raise ProblemError(TOO_LATE, f"The captions were not ready within {service.settings.timeout_s:g} s.", retry_after(service.settings.timeout_s))
    finally:
        hung_up.cancel()
        captions.cancel()
        for job in jobs:
            if not job.caption.cancel():
                job.caption.exception()  # looked at, so that it is not reported as forgotten
        with suppress(asyncio.CancelledError):
            await hung_up


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _result(job: Job) -> Caption | ProblemError:
    error = job.caption.exception()
    return job.caption.result() if error is None else _problem(error)


def _problem(error: BaseException) -> ProblemError:
    match error:
        case TooManyPixelsError():
            return ProblemError(TOO_LARGE, _sentence(error))
        case InputError(where=str(where)) if where.startswith(_DECODE):
            return _bad_option(error)
        case ClipcapError():
            return ProblemError(UNREADABLE, _sentence(error))
        case _:
            log("bug", level=logging.ERROR, error=error)
            return ProblemError(BUG, "This picture could not be captioned, and that is a bug of the server.")


def _raise_if_none(results: Sequence[Caption | ProblemError], told: list[dict[str, Any]]) -> None:
    """The first problem, where there is nothing else."""
    problems = [result for result in results if isinstance(result, ProblemError)]
    if len(problems) == len(results):
        raise replace(problems[0], more={"results": told} if len(problems) > 1 else {})


def _told(picture: Picture, result: Caption | ProblemError, candidates: int) -> dict[str, Any]:
    if isinstance(result, ProblemError):
        return {"name": picture.name, "problem": result.as_json()}
    found = [{"text": candidate.text, "score": candidate.score} for candidate in result.candidates[:candidates]]
    return {"name": picture.name, "caption": result.text, "score": result.score, "candidates": found}


def _outcome(result: Caption | ProblemError) -> str:
    return result.kind.name if isinstance(result, ProblemError) else "captioned"


def _full(error: QueueFullError) -> ProblemError:
    return ProblemError(QUEUE_FULL, "This server has as many pictures waiting as it takes.", retry_after(error.wait_s))


def _bad_option(error: ClipcapError) -> ProblemError:
    """What is wrong with an option, which is named as it is written in an address."""
    where = error.where or ""
    if where.startswith(_DECODE):
        return ProblemError(BAD_OPTION, f"{where.removeprefix(_DECODE)}: {sentences(error.message, error.hint or '')}")
    named = error.message.partition(" ")[0] in Options.model_fields
    return ProblemError(BAD_OPTION, f"{error.message}." if named else _sentence(error))


def _sentence(error: ClipcapError) -> str:
    message = f"{error.message[0].upper()}{error.message[1:]}".rstrip(".")
    return sentences(message, error.hint or "") if error.hint else f"{message}."
