"""``python -m whisperdrop_api serve`` answers HTTP; ``keys`` manages API keys."""

import argparse
import sys

import uvicorn
from fastapi import Response
from pydantic import ValidationError

from whisperdrop.errors import WhisperdropError
from whisperdrop.observability import metrics
from whisperdrop.observability.catalogue import BY_SERVICE
from whisperdrop.observability.prometheus import CONTENT_TYPE, PrometheusSink
from whisperdrop.service.api_keys import Scope
from whisperdrop.service.proof import prove_conditional_writes
from whisperdrop_api.app import Exposition, create_app
from whisperdrop_api.composition import build, logger
from whisperdrop_api.settings import ApiSettings


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, and answer with an exit status."""
    parser = argparse.ArgumentParser(prog="whisperdrop_api", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="answer HTTP until SIGTERM")
    actions = verbs.add_parser("keys", help="manage API keys").add_subparsers(
        dest="action", required=True
    )
    create = actions.add_parser("create", help="make a key; it is shown once")
    create.add_argument("--tenant", required=True)
    create.add_argument("--name", required=True, help="what the key is for")
    scopes = create.add_mutually_exclusive_group()
    scopes.add_argument("--read-only", action="store_true")
    scopes.add_argument("--admin", action="store_true", help="may manage its tenant's keys too")
    create.add_argument("--models", help="comma-separated; all served models when absent")
    create.add_argument("--max-upload-bytes", type=int)
    actions.add_parser("list", help="every key by its SHA-256")
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("digest", help="SHA-256 of the key, as `list` shows it")
    options = parser.parse_args(arguments)
    try:
        settings = ApiSettings()
        return _serve(settings) if options.verb == "serve" else _keys(settings, options)
    except ValidationError as error:
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"])
            print(f"error: {field}: {problem['msg']}", file=sys.stderr)
        return 2
    except WhisperdropError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1


def _serve(settings: ApiSettings) -> int:
    services = build(settings)
    prove_conditional_writes(services.store)
    logger.info("api_ready", extra={"host": settings.host, "port": settings.port})
    uvicorn.run(
        create_app(services, _exposition() if settings.metrics_enabled else None),
        host=settings.host,
        port=settings.port,
        log_level="warning",  # our own access log has the fields
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    return 0


def _exposition() -> Exposition:
    sink = PrometheusSink(BY_SERVICE["api"])
    metrics.use(sink)
    return lambda: Response(sink.exposition(), media_type=CONTENT_TYPE)


def _keys(settings: ApiSettings, options: argparse.Namespace) -> int:
    api_keys = build(settings).api_keys
    if options.action == "create":
        models = tuple(options.models.split(",")) if options.models else None
        for model in models or ():
            settings.catalog.admit(model)
        key = api_keys.issue(
            options.tenant,
            options.name,
            scopes=_scopes(options),
            models=models,
            max_upload_bytes=options.max_upload_bytes,
        )
        print(key)
    elif options.action == "list":
        for digest, key_document in api_keys.list():
            state = "revoked" if key_document.revoked_at else "active"
            print(f"{digest}  {key_document.tenant}  {state}  {key_document.name}")
    else:
        api_keys.revoke(options.digest)
    return 0


def _scopes(options: argparse.Namespace) -> tuple[Scope, ...]:
    if options.read_only:
        return ("read",)
    return ("read", "write", "admin") if options.admin else ("read", "write")


if __name__ == "__main__":
    sys.exit(main())
