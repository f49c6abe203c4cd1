"""Writes docs/settings.md from the docstrings of every process's settings."""

import ast
import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from whisperdrop.settings import (
    CoreSettings,
    KeySettings,
    MetricsSettings,
    PulseSettings,
    WebhookSettings,
)
from whisperdrop_api.settings import ApiSettings
from whisperdrop_bridge.settings import BridgeSettings
from whisperdrop_dispatcher.settings import FleetSettings, SweepSettings
from whisperdrop_local.settings import KeeperSettings, StackSettings
from whisperdrop_notifier.settings import NotifierSettings
from whisperdrop_worker.settings import WorkerSettings

SECTIONS: tuple[tuple[str, str, type[BaseSettings]], ...] = (
    ("Every process", "Storage, queues, models on offer, logging.", CoreSettings),
    ("API keys", "Processes that check keys.", KeySettings),
    (
        "Webhooks",
        "Processes that send to the URLs of tenants, or judge them: notifier, API, sweep.",
        WebhookSettings,
    ),
    (
        "Sign of life",
        "Worker, sweep and notifier, which serve nothing that one could ask.",
        PulseSettings,
    ),
    (
        "Metrics",
        "Worker, notifier and sweep; [observability.md](observability.md) lists the metrics.",
        MetricsSettings,
    ),
    ("API", "`python -m whisperdrop_api serve`, and the API function.", ApiSettings),
    ("Worker", "`python -m whisperdrop_worker`, and the worker function.", WorkerSettings),
    ("Sweep", "`python -m whisperdrop_dispatcher`, and the sweep function.", SweepSettings),
    (
        "Fleet",
        "`python -m whisperdrop_dispatcher`, and the dispatcher function; see "
        "[scaling.md](scaling.md).",
        FleetSettings,
    ),
    (
        "Notifier",
        "`python -m whisperdrop_notifier`, and the notifier function.",
        NotifierSettings,
    ),
    ("Bridge", "`python -m whisperdrop_bridge`: MinIO's webhook to SQS.", BridgeSettings),
    (
        "Keeper",
        "`python -m whisperdrop_local.keeper`: bucket and queues of compose.",
        KeeperSettings,
    ),
    ("Embedded stack", "`make run` and `make demo`.", StackSettings),
)

_HEAD = """# Settings

Every process reads its environment once, at its start, into one frozen model. This page is made
from the docstrings of those models by `make docs`; a test fails when it is out of date.

Storage and queues are found as boto3 finds them: credentials, `AWS_REGION` or
`AWS_DEFAULT_REGION`, and `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL_SQS` for
anything that is not AWS.
"""


def render() -> str:
    """The page."""
    return "\n".join([_HEAD, *(_section(*section) for section in SECTIONS)])


def _section(title: str, text: str, model: type[BaseSettings]) -> str:
    inherited = {
        name
        for parent in model.__mro__[1:]
        if issubclass(parent, BaseSettings)
        for name in getattr(parent, "model_fields", {})
    }
    fields = {n: f for n, f in model.model_fields.items() if n not in inherited}
    texts = meanings(model)
    rows = [
        f"| `{name.upper()}` | {_default(field)} | {texts[name]} |"
        for name, field in fields.items()
    ]
    head = ["| variable | default | meaning |", "|---|---|---|"]
    return "\n".join([f"## {title}", "", text, "", *head, *rows, ""])


def meanings(model: type[BaseSettings]) -> dict[str, str]:
    """The docstring under each field that ``model`` itself declares, on one line.

    Pydantic can read them too (``use_attribute_docstrings``), but does so in every process, at
    import: a tenth of a second of a function's cold start.
    """
    module = ast.parse(inspect.getsource(model))
    declared = next(node for node in module.body if isinstance(node, ast.ClassDef))
    return {
        field.target.id: " ".join(text.split())
        for field, below in pairwise(declared.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(text := below.value.value, str)
    }


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None and field.default_factory is not dict:
        return "see text"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    match value:
        case None | () | {}:
            return ""
        case SecretStr():
            return f"`{value.get_secret_value()}`"
        case bool():
            return f"`{str(value).lower()}`"
        case tuple():
            return f"`{','.join(map(str, value))}`"
        case float() if value.is_integer():
            return f"`{int(value)}`"
        case Path():
            return f"`{value.as_posix()}`"
        case _:
            return f"`{value}`"


if __name__ == "__main__":
    print(render(), end="")
