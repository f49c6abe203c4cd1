"""Which models may be asked for."""

from fastapi import APIRouter, Request

from whisperdrop_api.dependencies import Reader, ServicesDep
from whisperdrop_api.errors import ErrorBody
from whisperdrop_api.schemas import ModelBody, ModelList

router = APIRouter(
    prefix="/v1/models",
    tags=["models"],
    responses={status: {"model": ErrorBody} for status in (401, 403, 503)},
)


@router.get("")
def list_models(request: Request, services: ServicesDep, key: Reader) -> ModelList:
    """The models that this key may use, aliases included; the first one is the default."""
    started: int = request.app.state.started
    names = [n for n in services.catalog.names if key.models is None or n in key.models]
    return ModelList(
        data=[ModelBody(id=name, created=started, owned_by="whisperdrop") for name in names]
    )
