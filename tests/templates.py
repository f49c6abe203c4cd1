"""Reads CloudFormation templates for tests: short forms as long ones, and policies in JSON too."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "template.yaml"
STORAGE = ROOT / "infra" / "storage.yaml"
MONITORING = ROOT / "infra" / "monitoring.yaml"
TEMPLATES = (TEMPLATE, *sorted((ROOT / "infra").glob("*.yaml")))
"""All that is deployed to AWS."""

Node = dict[str, Any]


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as their long ones: ``!Ref x`` as ``{"Ref": "x"}``."""


def _long_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _long_form)


def parse(text: str) -> Node:
    """A template from its text."""
    loaded = yaml.load(text, Loader)  # noqa: S506 - a subclass of SafeLoader
    assert isinstance(loaded, dict)
    return loaded


def load(path: Path) -> Node:
    """A template from its file."""
    return parse(path.read_text())


def of_type(template: Node, *kinds: str) -> dict[str, Node]:
    """Properties of the resources of these types, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] in kinds
    }


def statements(node: Any) -> Iterator[Node]:
    """Every policy statement at any depth, both arms of an ``Fn::If`` and policies in JSON too."""
    if isinstance(node, dict):
        if "Effect" in node:
            yield node
        for key, value in node.items():
            if key == "PolicyDocument" and (text := rendered(value)).lstrip().startswith("{"):
                yield from statements(json.loads(text))
            else:
                yield from statements(value)
    elif isinstance(node, list):
        for value in node:
            yield from statements(value)


def listed(value: Any) -> list[Any]:
    """One or many, as a list; both arms of an ``Fn::If``, and no arm that is no value."""
    if value is None or value == {"Ref": "AWS::NoValue"}:
        return []
    if isinstance(value, list):
        return [one for part in value for one in listed(part)]
    if isinstance(value, dict) and "Fn::If" in value:
        return listed(value["Fn::If"][1:])
    return [value]


def rendered(value: Any) -> str:
    """The text that a value will have, with ``${...}`` where only a deployment knows it."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [*path]}:
            return f"${{{'.'.join(path)}}}"
        case {"Fn::Sub": [str(text), {**variables}]}:
            for name, inner in variables.items():
                text = text.replace(f"${{{name}}}", rendered(inner))
            return text
        case {"Fn::Sub": str(text)}:
            return text
        case {"Fn::Join": [str(glue), list(parts)]}:
            return glue.join(map(rendered, parts))
        case {"Fn::If": [_, first, second]}:
            return rendered(first if first != {"Ref": "AWS::NoValue"} else second)
        case _:
            return ""
