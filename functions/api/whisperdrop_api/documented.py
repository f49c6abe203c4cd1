"""Errors in the OpenAPI document, by reference.

FastAPI would make a field of every error of every route, three hundred of them at import, to end
with the same two schemas: a tenth of a second of the function's cold start. So routes name the
schema, and the document gets it once.
"""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

Responses = dict[int | str, dict[str, Any]]
"""What FastAPI takes as ``responses``, by status."""

_PLACE = "#/components/schemas/{model}"


def errors(body: type[BaseModel], *statuses: int, description: str | None = None) -> Responses:
    """Answers with ``body`` as JSON; without a description they are called as HTTP calls them."""
    schema = {"$ref": _PLACE.format(model=body.__name__)}
    answer: dict[str, Any] = {"content": {"application/json": {"schema": schema}}}
    if description is not None:
        answer["description"] = description
    return dict.fromkeys(statuses, answer)


class DocumentedApp(FastAPI):
    """An application whose document has the schemas of ``bodies``, too."""

    def __init__(self, *, bodies: tuple[type[BaseModel], ...], **options: Any) -> None:
        super().__init__(**options)
        self._bodies = bodies

    def openapi(self) -> dict[str, Any]:
        """The document, made when it is first asked for."""
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        for body in self._bodies:
            schema = body.model_json_schema(mode="serialization", ref_template=_PLACE)
            document["components"]["schemas"] |= schema.pop("$defs", {}) | {body.__name__: schema}
        return document
