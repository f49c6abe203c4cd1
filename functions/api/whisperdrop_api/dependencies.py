"""What routes ask for by type: the services, and who is calling."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from whisperdrop.service.api_keys import ApiKey, Scope
from whisperdrop_api.composition import Services


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


class _Caller(SecurityBase):
    """Who sends a request, if the key allows ``scope``.

    One dependency that knows the scheme for the OpenAPI document and checks the key, with our own
    statuses and messages: FastAPI walks through each, for every route, at every start.
    """

    def __init__(self, scope: Scope) -> None:
        self.model = HTTPBearer(description="API key")
        self.scheme_name = "HTTPBearer"
        self._scope = scope

    async def __call__(self, request: Request) -> ApiKey:
        """The key; WhisperdropError without one, or with one that may not."""
        authorization = request.headers.get("authorization")
        check = services(request).api_keys.authenticate
        key = await run_in_threadpool(check, authorization)
        key.demand(self._scope)
        return key


Reader = Annotated[ApiKey, Depends(_Caller("read"))]
Writer = Annotated[ApiKey, Depends(_Caller("write"))]
Admin = Annotated[ApiKey, Depends(_Caller("admin"))]
