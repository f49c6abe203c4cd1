"""Which task of ECS this process is, if it is one, as the agent beside it says.

Amazon ECS task metadata endpoint, version 4.
"""

import http.client
import json
import os
from urllib.parse import urlsplit

VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"
_TIMEOUT_S = 2.0


def own_task() -> str | None:
    """The task's ARN; None outside of ECS, and where its agent does not answer."""
    place = urlsplit(os.environ.get(VARIABLE, ""))
    if place.scheme != "http" or not place.hostname:
        return None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"{place.path}/task")
        task = json.loads(connection.getresponse().read()).get("TaskARN")
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return None
    finally:
        connection.close()
    return task if isinstance(task, str) else None
