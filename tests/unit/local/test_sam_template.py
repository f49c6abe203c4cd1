"""What is changed in a built template before `sam local` runs it."""

import copy
from pathlib import Path
from typing import Any

from whisperdrop_local.sam_template import (
    Template,
    for_sam_local,
    image_functions,
    read,
    write,
    zip_functions,
)

_FUNCTION = "AWS::Serverless::Function"
_FOLDER = Path("/built")


def _built() -> Template:
    """As `sam build` writes it, in small."""
    api: dict[str, Any] = {
        "CodeUri": "ApiFunction",
        "Runtime": {"Ref": "PythonRuntime"},
        "Timeout": 29,
        "Environment": {"Variables": {"API_KEY": {"Ref": "ApiKey"}, "MAX_SYNC_BYTES": "4500000"}},
    }
    return {
        "Parameters": {"PythonRuntime": {"Type": "String", "Default": "python3.13"}},
        "Resources": {
            "Storage": {"Type": "AWS::CloudFormation::Stack", "Properties": {}},
            "HttpApi": {"Type": "AWS::Serverless::HttpApi"},
            "ApiFunction": {"Type": _FUNCTION, "Properties": api},
            "SweepFunction": {"Type": _FUNCTION, "Properties": {"Timeout": {"Ref": "Seconds"}}},
            "WorkerFunction": {
                "Type": _FUNCTION,
                "Properties": {"PackageType": "Image"},
                "ImageUri": "workerfunction:worker",
            },
        },
        "Outputs": {"BucketName": {"Value": {"Fn::GetAtt": ["Storage", "Outputs.BucketName"]}}},
    }


def test_every_function_declares_the_variables_that_it_is_to_have() -> None:
    local = for_sam_local(
        _built(), {"BUCKET": "b", "API_KEY": "k"}, folder=_FOLDER, runtime="python3.11"
    )

    for name in ("ApiFunction", "SweepFunction", "WorkerFunction"):
        variables = local["Resources"][name]["Properties"]["Environment"]["Variables"]
        assert variables["BUCKET"] == "b"
        assert variables["API_KEY"] == "k"
    api = local["Resources"]["ApiFunction"]["Properties"]
    assert api["Environment"]["Variables"]["MAX_SYNC_BYTES"] == "4500000"
    assert local["Parameters"]["PythonRuntime"]["Default"] == "python3.11"


def test_the_http_api_takes_binary_bodies_and_stays_one() -> None:
    api = for_sam_local(_built(), {}, folder=_FOLDER, runtime="python3.13")["Resources"]["HttpApi"]

    assert api["Type"] == "AWS::Serverless::HttpApi"
    definition = api["Properties"]["DefinitionBody"]
    assert definition["x-amazon-apigateway-binary-media-types"] == ["*/*"]


def test_a_cold_start_is_not_taken_from_the_time_of_a_function() -> None:
    resources = for_sam_local(_built(), {}, folder=_FOLDER, runtime="python3.13")["Resources"]

    assert resources["ApiFunction"]["Properties"]["Timeout"] == 149
    assert resources["SweepFunction"]["Properties"]["Timeout"] == {"Ref": "Seconds"}


def test_code_is_found_from_wherever_the_template_lies() -> None:
    api = for_sam_local(_built(), {}, folder=_FOLDER, runtime="python3.13")["Resources"]

    assert api["ApiFunction"]["Properties"]["CodeUri"] == "/built/ApiFunction"


def test_nested_stacks_and_their_outputs_are_left_out() -> None:
    local = for_sam_local(_built(), {}, folder=_FOLDER, runtime="python3.13")

    assert "Storage" not in local["Resources"]
    assert "Outputs" not in local


def test_an_image_function_gets_the_image_made_for_it() -> None:
    images = {"WorkerFunction": "workerfunction:sam-local"}

    local = for_sam_local(_built(), {}, folder=_FOLDER, runtime="python3.13", images=images)

    assert image_functions(_built()) == {"WorkerFunction": "workerfunction:worker"}
    assert image_functions(local) == images
    assert zip_functions(local) == ["ApiFunction", "SweepFunction"]


def test_the_built_template_is_not_touched(tmp_path: Path) -> None:
    template = _built()
    before = copy.deepcopy(template)

    write(
        for_sam_local(template, {"BUCKET": "b"}, folder=_FOLDER, runtime="python3.11"),
        tmp_path / "local.yaml",
    )

    assert template == before
    assert read(tmp_path / "local.yaml")["Parameters"]["PythonRuntime"]["Default"] == "python3.11"
