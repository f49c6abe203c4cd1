"""Who may import whom. The rules are data; the checker knows nothing of this project.

functions → layers/core, and never each other; infra/local → core and the functions' settings.
Inside core: service → ports, domain, errors; adapters → ports, errors; domain → errors.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCES = (
    "layers/core",
    "layers/client",
    "functions/api",
    "functions/worker",
    "functions/dispatcher",
    "functions/notifier",
    "docker/bridge",
    "infra/local",
    "infra/cost",
)
ANY_PACKAGE = "*"


@dataclass(frozen=True)
class Rule:
    """What modules under ``package`` may import: ours by prefix, others by top-level name.

    The rule with the longest matching ``package`` counts. The standard library is always allowed.
    """

    package: str
    ours: tuple[str, ...]
    others: tuple[str, ...]
    never: tuple[str, ...] = ()


_AWS = ("boto3", "botocore", "mypy_boto3_ecs", "mypy_boto3_s3", "mypy_boto3_sqs", "s3transfer")
_ENGINE = (
    "av",
    "ctranslate2",
    "faster_whisper",
    "huggingface_hub",
    "numpy",
    "onnxruntime",
    "tokenizers",
)
_WEB = ("fastapi", "mangum", "starlette", "uvicorn")
_SETTINGS = (
    "whisperdrop_api.settings",
    "whisperdrop_worker.settings",
    "whisperdrop_dispatcher.settings",
    "whisperdrop_notifier.settings",
    "whisperdrop_bridge.settings",
)

RULES = (
    Rule("whisperdrop", (), ()),
    Rule("whisperdrop.errors", (), ()),
    # A process of its own every half a minute: nothing but the standard library.
    Rule("whisperdrop.pulse", (), ()),
    Rule("whisperdrop.domain", ("whisperdrop.domain", "whisperdrop.errors"), ("pydantic",)),
    Rule("whisperdrop.ports", ("whisperdrop.domain", "whisperdrop.errors"), ()),
    Rule(
        "whisperdrop.service",
        (
            "whisperdrop.service",
            "whisperdrop.ports",
            "whisperdrop.domain",
            "whisperdrop.errors",
            "whisperdrop.pulse",
        ),
        ("pydantic",),
    ),
    Rule(
        "whisperdrop.adapters",
        ("whisperdrop.adapters", "whisperdrop.ports", "whisperdrop.errors"),
        _AWS,
    ),
    Rule(
        "whisperdrop.settings",
        ("whisperdrop.domain", "whisperdrop.errors"),
        ("pydantic", "pydantic_settings"),
    ),
    Rule(
        "whisperdrop.observability",
        ("whisperdrop.observability", "whisperdrop.settings"),
        ("aws_lambda_powertools",),
    ),
    Rule(
        "whisperdrop.observability.otel",
        ("whisperdrop.observability",),
        ("opentelemetry",),
    ),
    Rule(
        "whisperdrop.observability.prometheus",
        ("whisperdrop.observability",),
        ("prometheus_client",),
    ),
    Rule("whisperdrop_api", ("whisperdrop", "whisperdrop_api"), (ANY_PACKAGE,), _AWS + _ENGINE),
    Rule("whisperdrop_worker", ("whisperdrop", "whisperdrop_worker"), (ANY_PACKAGE,), _AWS + _WEB),
    Rule(
        "whisperdrop_dispatcher",
        ("whisperdrop", "whisperdrop_dispatcher"),
        (ANY_PACKAGE,),
        _AWS + _WEB + _ENGINE,
    ),
    # Installed by itself on other people's machines.
    Rule("whisperdrop_client", ("whisperdrop_client",), ("anyio", "httpx")),
    Rule(
        "whisperdrop_client.command",
        ("whisperdrop_client",),
        ("anyio", "httpx", "rich", "typer"),
    ),
    Rule(
        "whisperdrop_notifier",
        ("whisperdrop", "whisperdrop_notifier"),
        (ANY_PACKAGE,),
        _AWS + _WEB + _ENGINE,
    ),
    Rule(
        "whisperdrop_bridge", ("whisperdrop", "whisperdrop_bridge"), (ANY_PACKAGE,), _AWS + _ENGINE
    ),
    Rule(
        "whisperdrop_local",
        ("whisperdrop", "whisperdrop_local", *_SETTINGS),
        (ANY_PACKAGE,),
        _WEB + _ENGINE,
    ),
    # Arithmetic: it knows nothing of the service, and runs on any Python.
    Rule("whisperdrop_cost", ("whisperdrop_cost",), ()),
)


@dataclass(frozen=True)
class Module:
    """A module's name, whether it is a package's ``__init__``, and its source."""

    name: str
    source: str
    is_package: bool = False


def modules(root: Path) -> Iterator[Module]:
    """Every module of the project."""
    for folder in SOURCES:
        base = root / folder
        for path in sorted(base.rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            yield Module(name, path.read_text(encoding="utf-8"), is_package)


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that ``module`` imports, wherever it does so."""
    for node in ast.walk(ast.parse(module.source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}" if base else alias.name
        elif isinstance(node, ast.Call) and _calls_import(node.func):
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node.lineno, name.value


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.name.split(".")
    parts = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _calls_import(called: ast.expr) -> bool:
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name in {"import_module", "__import__"}


def _under(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def rule_for(name: str, rules: tuple[Rule, ...]) -> Rule | None:
    """The rule with the longest package that holds ``name``."""
    matching = [rule for rule in rules if _under(name, rule.package)]
    return max(matching, key=lambda rule: len(rule.package), default=None)


def violations(
    found: list[Module], rules: tuple[Rule, ...], free: tuple[str, ...] = ()
) -> list[str]:
    """Every arrow that points the wrong way, as ``module:line imports name``.

    Names in ``free`` may be imported by everybody. A module without a rule is a violation too.
    """
    tops = {module.name.partition(".")[0] for module in found}
    wrong = []
    for module in found:
        rule = rule_for(module.name, rules)
        if rule is None:
            wrong.append(f"{module.name} has no rule")
            continue
        for line, name in imports(module):
            top = name.partition(".")[0]
            if top in tops:
                allowed = name in free or any(_under(name, package) for package in rule.ours)
            elif top in sys.stdlib_module_names:
                allowed = True
            else:
                any_other = ANY_PACKAGE in rule.others and top not in rule.never
                allowed = top in rule.others or any_other
            if not allowed:
                wrong.append(f"{module.name}:{line} imports {name}")
    return wrong
