"""How the native doors say no: ``{"detail": …, "code": …}``, in this one place.

The handlers serve the OpenAI door too, which has a place of its own for its shape.
"""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from whisperdrop.domain.job import JobFailure
from whisperdrop.errors import InvalidValueError, StoreError, WhisperdropError, status_of
from whisperdrop_api.composition import logger
from whisperdrop_api.documented import Responses, errors
from whisperdrop_api.middleware import CORRELATION_HEADER
from whisperdrop_api.routes.openai import errors as openai

_RETRY_AFTER_S = "5"


class ErrorBody(BaseModel):
    """Every error of the native API."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"detail": "there is no job zd37…", "code": "job_not_found"}]
        }
    )

    detail: str = Field(description="What is wrong, and what to do about it")
    code: str = Field(description="Stable name of the error, for programs")


def refusals(*statuses: int, description: str | None = None) -> Responses:
    """For a route's documentation."""
    return errors(ErrorBody, *statuses, description=description)


_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def describe(error: RequestValidationError | ValidationError) -> InvalidValueError:
    """Every problem of a validation in one sentence; the values themselves are not repeated."""
    problems = []
    for problem in error.errors():
        place = [str(part) for part in problem["loc"] if part not in {"body", "query", "path"}]
        message = str(problem["msg"]).removeprefix("Value error, ")
        problems.append(f"{'.'.join(place)}: {message}" if place else message)
    return InvalidValueError("; ".join(problems))


def render(error: WhisperdropError) -> JSONResponse:
    """The answer to an error of the tree."""
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 503:
        headers["Retry-After"] = _RETRY_AFTER_S
    body = ErrorBody(detail=error.message, code=error.code)
    return JSONResponse(body.model_dump(), error.status, headers)


def render_failure(failure: JobFailure) -> JSONResponse:
    """The answer for a job that ended without a transcript, with the status of its cause."""
    body = ErrorBody(detail=failure.message, code=failure.code)
    return JSONResponse(body.model_dump(), status_of(failure.code))


def install(app: FastAPI) -> None:
    """Register the handlers; what no handler knows is logged and answered without details."""

    @app.exception_handler(WhisperdropError)
    async def known(request: Request, error: WhisperdropError) -> JSONResponse:
        if isinstance(error, StoreError):
            logger.error("store_failed", extra={"path": request.url.path}, exc_info=error)
        return _answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _answer(request, describe(error))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "bad_request")
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _allowed(request)
        if openai.is_ours(request.url.path):
            return openai.render_http(error, code, headers)
        body = ErrorBody(detail=str(error.detail), code=code)
        return JSONResponse(body.model_dump(), error.status_code, headers)

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        correlation_id = request.state.correlation_id
        fields = {"path": request.url.path, "correlation_id": correlation_id}
        logger.error("unhandled_error", extra=fields, exc_info=error)
        broken = WhisperdropError("something went wrong on our side; it has been logged")
        answer = _answer(request, broken)
        # Starlette answers this outside of every layer, so the one with the id is passed by.
        answer.headers[CORRELATION_HEADER] = correlation_id
        return answer


def _allowed(request: Request) -> str:
    """Methods of the path; the framework's own ``Allow`` has those of one route of it alone."""

    def has(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)

    return ", ".join(filter(has, _METHODS))


def _answer(request: Request, error: WhisperdropError) -> JSONResponse:
    return (openai.render if openai.is_ours(request.url.path) else render)(error)
