"""What `sam build` wrote, in a form that `sam local` can run.

What is changed, and why:

- SAM passes only variables that a function declares, and neither an emulator's address nor a nested
  stack's outputs stand in the template.
- It hands a function of an HTTP API every body as text and answers 502 to one that is none, unless
  the API's definition says which media types are binary; API Gateway needs no telling.
- It counts the cold start, and the image that it makes for it, as part of the time-out.
- It adds its emulator to an image as the image's own user, who may not do that here; in Lambda that
  user does not count.
- Nothing of the nested stacks runs here.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Template = dict[str, Any]

_FUNCTION = "AWS::Serverless::Function"
_HTTP_API = "AWS::Serverless::HttpApi"
_STACK = "AWS::CloudFormation::Stack"
_COLD_START_S = 120
_BINARY: Mapping[str, Any] = {
    "openapi": "3.0.1",
    "info": {"title": "whisperdrop", "version": "1"},
    "paths": {},
    # All of them: SAM knows whole names or this, and an upload may have any type.
    "x-amazon-apigateway-binary-media-types": ["*/*"],
}


def read(path: Path) -> Template:
    """A built template: `sam build` writes the long forms of CloudFormation's functions."""
    template: Template = yaml.safe_load(path.read_text())
    return template


def write(template: Template, path: Path) -> None:
    """Not beside the built one: `sam build` empties its folder, and a running `sam` reads again."""
    path.write_text(yaml.safe_dump(template, sort_keys=False))


def for_sam_local(
    template: Template,
    variables: Mapping[str, str],
    *,
    folder: Path,
    runtime: str,
    images: Mapping[str, str] | None = None,
) -> Template:
    """``template`` with ``variables`` in every function, and the rest of what is said above.

    Paths in it are below ``folder``; ``runtime`` is the one that the zip functions were built for;
    ``images`` stand in for those of the image functions.
    """
    local = copy.deepcopy(template)
    local["Parameters"]["PythonRuntime"]["Default"] = runtime
    resources: dict[str, Template] = local["Resources"]
    local["Resources"] = {n: r for n, r in resources.items() if r["Type"] != _STACK}
    for name, resource in local["Resources"].items():
        properties = resource.setdefault("Properties", {})
        for path in ("CodeUri", "ContentUri"):
            if isinstance(properties.get(path), str):
                properties[path] = str(folder / properties[path])
        if resource["Type"] == _HTTP_API:
            properties["DefinitionBody"] = copy.deepcopy(dict(_BINARY))
        elif resource["Type"] == _FUNCTION:
            environment = properties.setdefault("Environment", {})
            environment["Variables"] = environment.get("Variables", {}) | dict(variables)
            if isinstance(seconds := properties.get("Timeout"), int):
                properties["Timeout"] = seconds + _COLD_START_S
            if images and name in images:
                resource["ImageUri"] = properties["ImageUri"] = images[name]
    local.pop("Outputs", None)
    return local


def zip_functions(template: Template) -> list[str]:
    """Names of the functions that run on one of AWS's own images."""
    return [name for name, resource in _functions(template) if not _is_image(resource)]


def image_functions(template: Template) -> dict[str, str | None]:
    """The images of the others; None for one that was not built."""
    return {
        name: resource["Properties"].get("ImageUri") or resource.get("ImageUri")
        for name, resource in _functions(template)
        if _is_image(resource)
    }


def _functions(template: Template) -> list[tuple[str, Template]]:
    return [item for item in template["Resources"].items() if item[1]["Type"] == _FUNCTION]


def _is_image(resource: Template) -> bool:
    return bool(resource["Properties"].get("PackageType") == "Image")
