"""The addresses of a server: captions and models under /v1, its health, its metrics, its description, and the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from clipcap_cli.serving import problems
from clipcap_cli.serving.batching import Batcher
from clipcap_cli.serving.captioning import caption
from clipcap_cli.serving.decoding_options import Options, bounds
from clipcap_cli.serving.docs import docs_page, docs_style
from clipcap_cli.serving.middleware import Surroundings
from clipcap_cli.serving.openapi import BODY, answers, describe
from clipcap_cli.serving.page import page_files
from clipcap_cli.serving.problems import ProblemError, of_status
from clipcap_cli.serving.schemas import Captions, ModelList, RequestLimits, Status
from clipcap_cli.serving.service import Service, State
from clipcap_cli.words import in_words

Load = Callable[[Service], Awaitable[None]]
# What the framework says too little of.
_HELP = {
    404: "There is nothing at this address; pictures go to POST /v1/caption, and GET /docs lists the rest.",
    405: "This address does not do that; pictures go to POST /v1/caption, and GET /docs lists the rest.",
}
_REPEATABLE = ("banned", "required")
_bearer = HTTPBearer(auto_error=False, description="A key of the server's file of keys, where it has one.")


def create_app(service: Service, load: Load | None = None) -> FastAPI:
    """The application.

    Args:
        load: brings the models while the server already answers; None where `service` has them.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start(Batcher(service.settings, service.metrics))
        if load is not None:
            await load(service)
        yield
        await service.finish()

    app = FastAPI(title="clipcap", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    app.openapi = lambda: describe(app, needs_key=service.keys is not None)  # type: ignore[method-assign]  # as FastAPI's documentation does it
    app.include_router(_private(service))
    app.include_router(_open(service, app))
    app.include_router(_page())
    _answer_with_problems(app)
    app.add_middleware(Surroundings, service=service)
    return app


def _private(service: Service) -> APIRouter:
    """What needs a key."""

    def known(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
        given = f"{credentials.scheme} {credentials.credentials}" if credentials else None
        if service.keys is not None and not service.keys.allow(given):
            what = "This key is not one of the server's." if given else "This server needs a key: Authorization: Bearer KEY."
            raise ProblemError(problems.NO_KEY, what, {"WWW-Authenticate": "Bearer"})

    router = APIRouter(dependencies=[Depends(known)])

    @router.post(
        "/v1/caption",
        summary="Caption pictures",
        response_model=Captions,
        response_description="What came of each picture",
        responses=answers(*(kind for kind in problems.KINDS if kind not in (problems.NOT_FOUND, problems.BAD_METHOD))),
        openapi_extra=BODY,
    )
    async def caption_pictures(request: Request, options: Annotated[Options, Query()]) -> Response:
        """A caption for each picture, in the order in which they were sent. A picture that cannot be captioned has a problem in the place of its caption; where
        that is so of all, the answer is a problem."""
        _refuse_repeated(request)
        return JSONResponse(await caption(request, options, service))

    @router.get(
        "/v1/models",
        summary="List models, limits and bounds",
        response_model=ModelList,
        response_description="All of that",
        responses=answers(problems.NO_KEY, problems.NOT_READY),
    )
    async def list_models() -> Response:
        """The models that are served, what one request may have, and what may be asked of them."""
        models, _ = service.open()
        limits = {name: value for name, value in asdict(service.settings.limits).items() if name in RequestLimits.model_fields}
        return JSONResponse({"models": models.describe(), "limits": limits, "bounds": bounds()})

    @router.get(
        "/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse, response_description="Counters", responses=answers(problems.NO_KEY)
    )
    async def metrics() -> Response:
        """Counters, as Prometheus reads them."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


def _open(service: Service, app: FastAPI) -> APIRouter:
    """What anybody may know."""
    router = APIRouter()

    @router.get("/healthz", summary="Is it alive?", response_model=Status, response_description="It is")
    async def alive() -> Response:
        """Whether the server answers."""
        return JSONResponse({"status": "alive"})

    @router.get("/readyz", summary="Does it take pictures?", response_model=Status, response_description="It does", responses=answers(problems.NOT_READY))
    async def ready() -> Response:
        """Whether pictures are taken: not before the models are loaded, and not when the server is about to stop."""
        service.open()
        return JSONResponse({"status": State.READY})

    @router.get("/openapi.json", include_in_schema=False)
    async def description() -> Response:
        return JSONResponse(app.openapi())

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(docs_page(app.openapi()))

    @router.get("/docs/style.css", include_in_schema=False)
    async def style() -> Response:
        return Response(docs_style(), media_type="text/css")

    return router


def _page() -> APIRouter:
    """The page and its files, read once: no path of a request ever leads to a file."""
    router = APIRouter()
    for address, file in page_files().items():
        content = file.path.read_bytes()
        answer = Response(content, media_type=file.media_type, headers={"Cache-Control": "no-cache"})
        router.add_api_route(address, _giving(answer), include_in_schema=False)
    return router


def _giving(answer: Response) -> Callable[[], Awaitable[Response]]:
    async def give() -> Response:
        return Response(answer.body, headers=dict(answer.headers))

    return give


def _refuse_repeated(request: Request) -> None:
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if times > 1 and name not in _REPEATABLE:
            raise ProblemError(problems.BAD_OPTION, f"{name} is given {times} times, and can be given once.")


def _answer_with_problems(app: FastAPI) -> None:
    """Every error is answered as a problem."""

    @app.exception_handler(ProblemError)
    async def problem(_: Request, error: ProblemError) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def bad_option(_: Request, error: RequestValidationError) -> Response:
        return ProblemError(problems.BAD_OPTION, " ".join(_sentence(mistake) for mistake in error.errors()[:5])).response()

    @app.exception_handler(HTTPException)
    async def of_the_framework(_: Request, error: HTTPException) -> Response:
        return of_status(error.status_code, _HELP.get(error.status_code), error.headers).response()


def _sentence(mistake: Any) -> str:
    name = str(mistake["loc"][1]) if len(mistake["loc"]) > 1 else "the query"  # of options that may be repeated, without the number
    if mistake["type"] == "extra_forbidden":
        return f"There is no option {name[:80]!r}: there are {', '.join(Options.model_fields)}."
    return f"{name}: {in_words(mistake['msg'])}, not {str(mistake['input'])[:60]!r}."
