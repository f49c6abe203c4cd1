"""What makes the cold start of the function shorter; imported before anything else.

In a function one request is there at a time, so that nothing can meet a model that another thread
is building. A server starts once a month, and builds everything before its first request.
"""

import gc

from pydantic import BaseModel, ConfigDict

# Hardly anything that an import makes is garbage, and looking for it takes longer each time.
gc.disable()

# A validator is built when it is first used. Most are FastAPI's, for the OpenAPI document.
BaseModel.model_config = ConfigDict(defer_build=True)


def imported() -> None:
    """Collect garbage again, but not among what the imports made."""
    gc.freeze()
    gc.enable()
