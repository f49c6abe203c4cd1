"""What makes the cold start of the function shorter; imported before anything else.

In a function one request is there at a time, so that nothing can meet a model that another thread
is building. A server starts once a month, and builds everything before its first request.
"""

import gc
import sys
from typing import Any

from pydantic import BaseModel, ConfigDict

# Hardly anything that an import makes is garbage, and looking for it takes longer each time.
gc.disable()

# A validator is built when it is first used. Most are FastAPI's, for the OpenAPI document.
BaseModel.model_config = ConfigDict(defer_build=True)

# FastAPI asks of every annotation whether Pydantic 1 made it, and takes no for an answer where that
# cannot be imported.
sys.modules.setdefault("pydantic.v1", None)  # type: ignore[arg-type]

_rebuild = vars(BaseModel)["model_rebuild"]


def _when_used(model: type[BaseModel], **how: Any) -> bool | None:
    # FastAPI has its largest models built in so many words. A first use says how.
    return _rebuild.__get__(None, model)(**how) if how else None


BaseModel.model_rebuild = classmethod(_when_used)  # type: ignore[assignment, arg-type]


def imported() -> None:
    """Everything is imported: build as asked, and collect garbage, but not among the imports."""
    BaseModel.model_rebuild = _rebuild  # type: ignore[method-assign]
    gc.freeze()
    gc.enable()
