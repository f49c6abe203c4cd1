"""A worker that is kept ready, for callers who know that work is coming."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from whisperdrop.service.warmth import MAX_WARM_S, keep_warm, warm_until
from whisperdrop_api.dependencies import Reader, ServicesDep, Writer
from whisperdrop_api.errors import refusals

_ERRORS = refusals(401, 403, 500, 503)

router = APIRouter(prefix="/v1/warm", tags=["workers"], responses=_ERRORS)


class KeepWarm(BaseModel):
    """For how long."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"seconds": 900}]})

    seconds: int = Field(ge=1, le=MAX_WARM_S, strict=True, description="From now on")


class WarmBody(BaseModel):
    """Until when a worker is kept ready."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"until": "2030-01-01T12:15:00Z"}]})

    until: datetime | None = Field(description="`null` when nobody wants one")


@router.post(
    "",
    responses=refusals(400, 413, 422),
)
def keep_worker_warm(body: KeepWarm, services: ServicesDep, _: Writer) -> WarmBody:
    """Have one worker at least until then, whether there is work or not.

    It takes as long to be ready as any worker that is started. A time that is already later stays.
    Where workers are not started by themselves, nothing changes.
    """
    return WarmBody(until=keep_warm(services.store, body.seconds, services.clock))


@router.get("")
def get_warmth(services: ServicesDep, _: Reader) -> WarmBody:
    """Until when a worker is kept ready."""
    return WarmBody(until=warm_until(services.store, services.clock()))
