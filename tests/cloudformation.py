"""What CloudFormation would make of a template: parameters, conditions, references."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SUBSTITUTED = re.compile(r"\$\{([^!}][^}]*)\}")
_PSEUDO = "AWS::"
NOTHING = object()
"""What ``AWS::NoValue`` leaves."""


@dataclass(frozen=True)
class Deployment:
    """A template with values for its parameters: what CloudFormation would make of it."""

    template: Mapping[str, Any]
    values: Mapping[str, Any]

    def __post_init__(self) -> None:
        unknown = set(self.values) - set(self.template["Parameters"])
        assert not unknown, f"parameters that the template does not have: {unknown}"
        missing = [
            name
            for name, parameter in self.template["Parameters"].items()
            if "Default" not in parameter and name not in self.values
        ]
        assert not missing, f"parameters without a value: {missing}"

    @property
    def resources(self) -> dict[str, Any]:
        """Those whose condition holds, with ``Fn::If`` decided."""
        return {
            name: self.decided(resource)
            for name, resource in self.template["Resources"].items()
            if self.holds(resource.get("Condition"))
        }

    @property
    def outputs(self) -> dict[str, Any]:
        """Those whose condition holds."""
        return {
            name: self.decided(output)
            for name, output in self.template.get("Outputs", {}).items()
            if self.holds(output.get("Condition"))
        }

    def value(self, parameter: str) -> Any:
        """As it was given, or its default."""
        return self.values.get(parameter, self.template["Parameters"][parameter].get("Default"))

    def holds(self, condition: str | None) -> bool:
        """Whether a condition is true."""
        return condition is None or self._true(self.template["Conditions"][condition])

    def decided(self, node: Any) -> Any:
        """``node`` with every ``Fn::If`` replaced by the arm that counts."""
        if isinstance(node, dict):
            if "Fn::If" in node:
                name, yes, no = node["Fn::If"]
                return self.decided(yes if self.holds(name) else no)
            if node == {"Ref": "AWS::NoValue"}:
                return NOTHING
            pairs = ((key, self.decided(value)) for key, value in node.items())
            return {key: value for key, value in pairs if value is not NOTHING}
        if isinstance(node, list):
            items = (self.decided(item) for item in node)
            return [item for item in items if item is not NOTHING]
        return node

    def plain(self, node: Any) -> Any:
        """``node`` as a value, where it is a parameter or needs none; else as it is."""
        node = self.decided(node)
        if isinstance(node, dict) and set(node) == {"Ref"} and node["Ref"] in self._parameters:
            return self.value(node["Ref"])
        return node

    def dangling(self) -> list[str]:
        """References to what is not there, of all resources and outputs."""
        resources = self.resources
        found = []
        for where, part in [*resources.items(), *self.outputs.items()]:
            for name in references(part):
                known = name in resources or name in self._parameters or name.startswith(_PSEUDO)
                if not known:
                    found.append(f"{where}: {name}")
        return found

    @property
    def _parameters(self) -> Mapping[str, Any]:
        parameters: Mapping[str, Any] = self.template["Parameters"]
        return parameters

    def _true(self, test: Mapping[str, Any]) -> bool:
        [(kind, given)] = test.items()
        match kind:
            case "Condition":
                return self.holds(given)
            case "Fn::Equals":
                left, right = (str(self.plain(side)) for side in given)
                return left == right
            case "Fn::Not":
                return not self._true(given[0])
            case "Fn::And":
                return all(map(self._true, given))
            case "Fn::Or":
                return any(map(self._true, given))
        raise AssertionError(f"no condition: {test}")


def references(node: Any) -> Iterator[str]:
    """Names of resources and parameters that ``node`` refers to."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "Ref":
            yield value
        elif key == "Fn::GetAtt":
            yield value[0]
        elif key == "DependsOn":
            yield from [value] if isinstance(value, str) else value
        elif key == "Fn::Sub":
            text, own = (value, {}) if isinstance(value, str) else value
            names = (name.split(".")[0] for name in _SUBSTITUTED.findall(text))
            yield from (name for name in names if name not in own)
            yield from references(own)
        else:
            yield from references(value)


def attributes(node: Any) -> Iterator[tuple[str, str]]:
    """Resource and attribute of everything that is asked of a resource."""
    if isinstance(node, list):
        for item in node:
            yield from attributes(item)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "Fn::GetAtt":
            yield value[0], value[1]
        elif key == "Fn::Sub":
            text, own = (value, {}) if isinstance(value, str) else value
            for name in _SUBSTITUTED.findall(text):
                if "." in name:
                    resource, _, attribute = name.partition(".")
                    yield resource, attribute
            yield from attributes(own)
        else:
            yield from attributes(value)
