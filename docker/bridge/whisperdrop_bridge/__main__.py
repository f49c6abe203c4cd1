"""``python -m whisperdrop_bridge``: takes the store's events until SIGTERM."""

import sys

import uvicorn
from pydantic import ValidationError

from whisperdrop_bridge.app import logger
from whisperdrop_bridge.composition import build
from whisperdrop_bridge.settings import BridgeSettings


def main() -> int:
    """Serve; the exit status."""
    try:
        settings = BridgeSettings()
    except ValidationError as error:
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"]).upper()
            print(f"error: {field}: {problem['msg']}", file=sys.stderr)
        return 2
    app = build(settings)
    logger.info("bridge_ready", extra={"host": settings.host, "port": settings.port})
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
