"""How this door says no: OpenAI's shape and OpenAI's statuses, in this one place.

Its SDKs raise by status, and retry 408, 409, 429 and 5xx by themselves; so a conflict is never 409,
and what is worth another try has ``Retry-After``.
"""

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from whisperdrop.domain.job import JobFailure
from whisperdrop.errors import (
    GaveUpError,
    InvalidValueError,
    ModelNotFoundError,
    TryAgainError,
    UnsupportedMediaTypeError,
    WhisperdropError,
    WrongKeyError,
    status_of,
)
from whisperdrop_api.documented import Responses, errors

PATHS = ("/v1/audio", "/audio", "/v1/models", "/models")

_RETRY_SOON_S = "1"  # what was asked for goes on meanwhile
_RETRY_S = "5"
# 415 and its like are 400 here, 409 would be retried, and 410 is nothing that an SDK knows.
_STATUSES = {409: 503, 410: 400, 415: 400, 422: 400}
_MEDIA_STATUSES = {413, 415}
_TYPES = {429: "requests"}


class OpenAIError(BaseModel):
    """What went wrong; ``param`` names the field of the request that did."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorBody(BaseModel):
    """Every error of this door."""

    error: OpenAIError = Field(description="All four keys, always")


def described(*statuses: int) -> Responses:
    """For a route's documentation."""
    return errors(OpenAIErrorBody, *statuses)


def is_ours(path: str) -> bool:
    """Whether ``path`` is of this door."""
    return any(path == ours or path.startswith(f"{ours}/") for ours in PATHS)


def body_of(error: WhisperdropError | JobFailure) -> OpenAIErrorBody:
    """An error as its JSON, also in the middle of a stream."""
    code = "invalid_api_key" if _status(error) == 401 else error.code
    return _body(error.message, code, _status(error), _param(error))


def render(error: WhisperdropError | JobFailure) -> JSONResponse:
    """The answer to an error of the tree, or for a job that ended with one."""
    status = _status(error)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 429 or isinstance(error, TryAgainError):
        headers["Retry-After"] = _RETRY_SOON_S
    elif status >= 500:
        headers["Retry-After"] = _RETRY_S
    if error.code == GaveUpError.code:  # it has been tried often enough
        headers["x-should-retry"] = "false"
    return JSONResponse(body_of(error).model_dump(), status, headers)


def render_http(error: HTTPException, code: str, headers: dict[str, str]) -> JSONResponse:
    """The answer to an error of the framework, or of a layer around it."""
    param = "file" if error.status_code == 413 else None
    body = _body(str(error.detail), code, error.status_code, param)
    return JSONResponse(body.model_dump(), error.status_code, headers)


def _body(message: str, code: str, status: int, param: str | None) -> OpenAIErrorBody:
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    return OpenAIErrorBody(error=OpenAIError(message=message, type=kind, param=param, code=code))


def _status(error: WhisperdropError | JobFailure) -> int:
    if isinstance(error, WrongKeyError):
        return 401  # 403 is for a valid key
    status = error.status if isinstance(error, WhisperdropError) else status_of(error.code)
    return _STATUSES.get(status, status)


def _param(error: WhisperdropError | JobFailure) -> str | None:
    if isinstance(error, InvalidValueError):
        return error.param
    if error.code == ModelNotFoundError.code:
        return "model"
    if error.code == UnsupportedMediaTypeError.code or status_of(error.code) in _MEDIA_STATUSES:
        return "file"
    return None
