"""What a tenant has used."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from whisperdrop_api.dependencies import Reader, ServicesDep
from whisperdrop_api.errors import refusals
from whisperdrop_api.schemas import UsageBody

_ERRORS = refusals(400, 401, 403, 413, 422, 500, 503)

router = APIRouter(prefix="/v1/usage", tags=["usage"], responses=_ERRORS)


@router.get("")
def get_usage(
    services: ServicesDep,
    key: Reader,
    month: Annotated[
        str | None,
        Query(
            pattern="^[0-9]{4}-(0[1-9]|1[0-2])$",
            description="yyyy-mm, in UTC; the present one if absent",
            examples=["2026-03"],
        ),
    ] = None,
) -> UsageBody:
    """Jobs and seconds of audio in a month."""
    used = services.jobs.usage(key.tenant, month or f"{datetime.now(UTC):%Y-%m}")
    return UsageBody(month=used.month, jobs=used.jobs, audio_s=round(used.audio_ms / 1000, 3))
