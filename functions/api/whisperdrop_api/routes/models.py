"""Which models may be asked for, as OpenAI's API lists them."""

from fastapi import APIRouter, Request

from whisperdrop_api.dependencies import Reader, ServicesDep
from whisperdrop_api.routes.openai import models
from whisperdrop_api.routes.openai.errors import described
from whisperdrop_api.schemas import ModelBody, ModelList

_OWNER = "whisperdrop"

router = APIRouter(tags=["models"])


@router.get("/models", include_in_schema=False)
@router.get("/v1/models", responses=described(401, 403, 500, 503))
def list_models(request: Request, services: ServicesDep, key: Reader) -> ModelList:
    """The models that this key may use, aliases included; the first one is the default."""
    started: int = request.app.state.started
    names = models.names(services.catalog, key)
    return ModelList(data=[ModelBody(id=name, created=started, owned_by=_OWNER) for name in names])


@router.get("/models/{model_id:path}", include_in_schema=False)
@router.get("/v1/models/{model_id:path}", responses=described(401, 403, 404, 500, 503))
def get_model(model_id: str, request: Request, services: ServicesDep, key: Reader) -> ModelBody:
    """One model, by any name that the audio routes take, `whisper-1` and its like included."""
    models.admit(services.catalog, model_id, key)
    return ModelBody(id=model_id, created=request.app.state.started, owned_by=_OWNER)
