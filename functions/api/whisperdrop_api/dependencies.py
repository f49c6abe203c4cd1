"""What routes ask for by type: the services, and who is calling."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPBearer

from whisperdrop.service.api_keys import ApiKey, Scope
from whisperdrop_api.composition import Services

# Documents the scheme in OpenAPI; the check itself is below, with our own statuses and messages.
_bearer = HTTPBearer(auto_error=False, description="API key")


def services(request: Request) -> Services:
    """The services that the application was made with."""
    built: Services = request.app.state.services
    return built


def correlation_id(request: Request) -> str:
    """The id that follows this request through every process."""
    found: str = request.state.correlation_id
    return found


ServicesDep = Annotated[Services, Depends(services)]
CorrelationDep = Annotated[str, Depends(correlation_id)]


def _principal(scope: Scope) -> Callable[..., object]:
    async def authenticate(
        request: Request, built: ServicesDep, _: Annotated[object, Depends(_bearer)]
    ) -> ApiKey:
        key = await run_in_threadpool(
            built.api_keys.authenticate, request.headers.get("authorization")
        )
        key.demand(scope)
        return key

    return authenticate


Reader = Annotated[ApiKey, Depends(_principal("read"))]
Writer = Annotated[ApiKey, Depends(_principal("write"))]
Admin = Annotated[ApiKey, Depends(_principal("admin"))]
