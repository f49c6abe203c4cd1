"""The three ways to deploy, resolved as CloudFormation would: nothing dangles, the parts fit."""

import functools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from tests import templates
from tests.cloudformation import Deployment, attributes
from tests.templates import ROOT, TEMPLATE, Node, listed, rendered, statements
from tests.unit.test_settings_are_documented import settings_classes
from whisperdrop_api.settings import ApiSettings
from whisperdrop_dispatcher.settings import FleetSettings, SweepSettings
from whisperdrop_notifier.settings import NotifierSettings
from whisperdrop_worker.settings import WorkerSettings

MODES = ("cpu", "gpu", "both")
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/worker@sha256:" + "0" * 64
NESTED = "AWS::CloudFormation::Stack"
# Read by libraries, not by our settings.
FOREIGN = re.compile(r"AWS_DEFAULT_REGION|POWERTOOLS_\w+|OTEL_\w+")


@functools.cache
def load(path: Path) -> Node:
    """Nobody changes what is loaded."""
    return templates.load(path)


def deployment(mode: str, **more: str) -> Deployment:
    image = {} if mode == "cpu" else {"GpuImageUri": IMAGE}
    return Deployment(load(TEMPLATE), {"Workers": mode, **image, **more})


def nested(whole: Deployment, name: str) -> Deployment:
    stack = whole.resources[name]["Properties"]
    given = {key: whole.plain(value) for key, value in stack["Parameters"].items()}
    return Deployment(load(TEMPLATE.parent / stack["TemplateURL"]), given)


def every(mode: str) -> list[Deployment]:
    """The whole and what is nested in it."""
    whole = deployment(mode)
    inner = [name for name, r in whole.resources.items() if r["Type"] == NESTED]
    return [whole, *(nested(whole, name) for name in inner)]


def batch() -> Deployment:
    given = {"ImageUri": IMAGE, "VpcId": "vpc-1", "SubnetIds": "subnet-1"}
    return Deployment(
        load(ROOT / "infra" / "batch.yaml"),
        given | {"InputBucket": "recordings", "OutputBucket": "texts"},
    )


def environment(resource: dict[str, Any]) -> dict[str, Any]:
    """Of a function, a task definition or a job definition."""
    properties = resource["Properties"]
    containers = [
        *properties.get("ContainerDefinitions", []),
        properties.get("ContainerProperties", {}),
    ]
    found = dict(properties.get("Environment", {}).get("Variables", {}))
    for container in containers:
        found |= {pair["Name"]: pair["Value"] for pair in container.get("Environment", [])}
    return found


def kind(whole: Deployment, type_: str) -> dict[str, Any]:
    return {name: r for name, r in whole.resources.items() if r["Type"] == type_}


@pytest.mark.parametrize("mode", MODES)
def test_every_reference_leads_to_something_that_is_deployed(mode: str) -> None:
    assert [found for part in every(mode) for found in part.dangling()] == []


@pytest.mark.parametrize("mode", MODES)
def test_what_is_asked_of_a_nested_stack_is_one_of_its_outputs(mode: str) -> None:
    whole = deployment(mode)
    asked = [
        (stack, attribute.removeprefix("Outputs."))
        for stack, attribute in attributes([whole.resources, whole.outputs])
        if attribute.startswith("Outputs.")
    ]
    assert asked
    outputs = {name: nested(whole, name).outputs for name in kind(whole, NESTED)}
    assert [(stack, name) for stack, name in asked if name not in outputs[stack]] == []


def test_the_batch_variant_stands_alone() -> None:
    assert batch().dangling() == []


@pytest.mark.parametrize(
    ("more", "subnets"),
    [
        ({}, 3),
        ({"GpuAvailabilityZones": "2"}, 2),
        ({"GpuAvailabilityZones": "4"}, 4),
        ({"GpuVpcId": "vpc-0a", "GpuSubnetIds": "subnet-0a,subnet-0b"}, 0),
    ],
)
def test_a_network_is_made_where_none_is_given(more: dict[str, str], subnets: int) -> None:
    fleet = nested(deployment("gpu", **more), "Fleet")

    assert fleet.dangling() == []
    assert len(kind(fleet, "AWS::EC2::Subnet")) == subnets
    # What would cost by the hour though nothing runs.
    assert not kind(fleet, "AWS::EC2::NatGateway")
    for endpoint in kind(fleet, "AWS::EC2::VPCEndpoint").values():
        assert endpoint["Properties"]["VpcEndpointType"] == "Gateway"
    [group] = kind(fleet, "AWS::EC2::SecurityGroup").values()
    assert "SecurityGroupIngress" not in group["Properties"]


@pytest.mark.parametrize(
    ("mode", "function_takes", "tasks_take"),
    [
        ("cpu", {"Interactive", "Bulk"}, None),
        ("gpu", set(), "both"),
        ("both", {"Interactive"}, "bulk"),
    ],
)
def test_each_queue_has_one_kind_of_worker(
    mode: str, function_takes: set[str], tasks_take: str | None
) -> None:
    whole = deployment(mode)
    resources = whole.resources
    taken = set()
    if "WorkerFunction" in resources:
        taken |= set(resources["WorkerFunction"]["Properties"]["Events"])
    if "WorkerTakesBulk" in resources:
        taken.add("Bulk")

    assert taken == function_takes
    if tasks_take is None:
        assert "Fleet" not in resources
        assert "DispatcherFunction" not in resources
    else:
        task = nested(whole, "Fleet").resources["TaskDefinition"]
        assert nested(whole, "Fleet").plain(environment(task)["QUEUES"]) == tasks_take
        assert environment(resources["DispatcherFunction"])["FLEET_QUEUES"] == tasks_take


@pytest.mark.parametrize("mode", MODES)
def test_a_queue_hides_a_message_for_as_long_as_its_worker_needs(mode: str) -> None:
    whole = deployment(mode)
    storage = nested(whole, "Storage")
    queues = storage.resources
    of_function = {"cpu": {"Interactive", "Bulk"}, "gpu": set(), "both": {"Interactive"}}[mode]
    for name in ("Interactive", "Bulk"):
        hidden = int(storage.plain(queues[f"{name}Queue"]["Properties"]["VisibilityTimeout"]))
        if name in of_function:
            assert hidden >= 6 * whole.value("WorkerTimeoutSeconds")
        else:
            assert hidden == 120  # renewed by the task


@pytest.mark.parametrize("mode", MODES)
def test_the_bucket_tells_eventbridge_only_where_somebody_listens(mode: str) -> None:
    whole = deployment(mode)
    bucket = nested(whole, "Storage").resources["Bucket"]["Properties"]
    told = "EventBridgeConfiguration" in bucket["NotificationConfiguration"]
    assert told == (mode != "cpu")


def test_the_dispatchers_own_writing_does_not_wake_it() -> None:
    dispatcher = deployment("gpu").resources["DispatcherFunction"]["Properties"]
    arrival = dispatcher["Events"]["Arrival"]["Properties"]["Pattern"]["detail"]["object"]["key"]
    woken_by = tuple(rule["prefix"] for rule in arrival)
    written = [
        str(resource).rpartition("}/")[2]
        for statement in statements(deployment("gpu").resources["DispatcherRole"])
        if statement.get("Action") == "s3:PutObject"
        for resource in (arn["Fn::Sub"] for arn in statement["Resource"])
    ]
    assert written == ["fleet/state.json", "pending/*"]
    assert not [key for key in written if key.startswith(woken_by)]


def test_every_variable_that_a_template_sets_is_a_setting() -> None:
    settings = {
        name.upper()
        for model in settings_classes()
        if issubclass(model, BaseSettings)
        for name in model.model_fields
    }
    globals_ = load(TEMPLATE)["Globals"]["Function"]["Environment"]["Variables"]
    for part in [p for mode in MODES for p in every(mode)] + [batch()]:
        for where, resource in part.resources.items():
            names = set(environment(resource)) | set(globals_)
            unknown = [n for n in names - settings if not FOREIGN.fullmatch(n)]
            assert unknown == [], where


@pytest.mark.parametrize(
    ("mode", "resource", "settings"),
    [
        ("cpu", "ApiFunction", ApiSettings),
        ("cpu", "WorkerFunction", WorkerSettings),
        ("cpu", "SweepFunction", SweepSettings),
        ("cpu", "NotifierFunction", NotifierSettings),
        ("gpu", "DispatcherFunction", FleetSettings),
        ("gpu", "TaskDefinition", WorkerSettings),
        ("both", "TaskDefinition", WorkerSettings),
    ],
)
def test_every_process_starts_with_what_its_template_gives_it(
    monkeypatch: pytest.MonkeyPatch, mode: str, resource: str, settings: type[BaseSettings]
) -> None:
    whole = deployment(mode)
    if resource == "TaskDefinition":
        part, given = nested(whole, "Fleet"), {}
    else:
        part, given = whole, whole.template["Globals"]["Function"]["Environment"]["Variables"]
    for name, value in (given | environment(part.resources[resource])).items():
        plain = part.plain(value)
        # What only a deployment knows is the name of something.
        monkeypatch.setenv(name, "known-later" if isinstance(plain, dict) else str(plain))

    assert settings().model_dump()["bucket"] == "known-later"


def test_a_task_may_do_what_the_function_may_and_report_itself() -> None:
    function = _allowed(deployment("both").resources["WorkerRole"])
    task = _allowed(nested(deployment("both"), "Fleet").resources["TaskRole"])
    report = {
        ("s3:GetObject", "BUCKET/fleet/warm.json"),
        ("s3:PutObject", "BUCKET/workers/*"),
        ("s3:DeleteObject", "BUCKET/workers/*"),
    }
    logs = {pair for pair in function if pair[0].startswith("logs:")}
    assert task - function == report
    assert function - task == logs


def _allowed(role: dict[str, Any]) -> set[tuple[str, str]]:
    """Action and resource of every grant, whatever the storage is called here and there."""
    found = set()
    for statement in statements(role["Properties"]["Policies"]):
        for action in listed(statement["Action"]):
            found |= {(action, _short(rendered(arn))) for arn in listed(statement["Resource"])}
    return found


def _short(arn: str) -> str:
    return arn.replace("Storage.Outputs.", "").replace("${BucketArn}", "BUCKET")


def test_a_task_has_the_time_that_it_takes_to_hand_its_jobs_back() -> None:
    [container] = nested(deployment("gpu"), "Fleet").resources["TaskDefinition"]["Properties"][
        "ContainerDefinitions"
    ]
    variables = {pair["Name"]: pair["Value"] for pair in container["Environment"]}
    assert int(variables["SHUTDOWN_SECONDS"]) <= container["StopTimeout"] - 20
    assert container["StopTimeout"] == 120  # ECS allows no more, and Spot leaves no more


@pytest.mark.parametrize("where", ["fleet", "batch"])
def test_workers_run_without_rights_on_their_machine(where: str) -> None:
    if where == "fleet":
        resources = nested(deployment("gpu"), "Fleet").resources
        [container] = resources["TaskDefinition"]["Properties"]["ContainerDefinitions"]
        assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    else:
        container = batch().resources["Job"]["Properties"]["ContainerProperties"]
    assert container["ReadonlyRootFilesystem"] is True
    assert container["Privileged"] is False
    assert container["User"] == "10001:10001"
    [mount] = [m for m in container["MountPoints"] if not m["ReadOnly"]]
    assert mount["ContainerPath"] == "/tmp"
    assert {"Type": "GPU", "Value": "1"} in container["ResourceRequirements"]


def test_the_api_signs_no_more_than_a_worker_fetches() -> None:
    whole = deployment("both")
    signed = environment(whole.resources["ApiFunction"])["MAX_UPLOAD_BYTES"]
    assert environment(whole.resources["WorkerFunction"])["MAX_MEDIA_BYTES"] == signed
    assert whole.resources["Fleet"]["Properties"]["Parameters"]["MaxMediaBytes"] == signed
    room = whole.value("WorkerStorageMb") * 2**20 - whole.value("MaxUploadBytes")
    assert room >= 2**30, "the media and a model have to fit"


@pytest.mark.parametrize("mode", MODES)
def test_every_log_group_forgets(mode: str) -> None:
    groups = [
        group["Properties"]
        for part in [*every(mode), batch()]
        for group in kind(part, "AWS::Logs::LogGroup").values()
    ]
    assert groups
    assert all("RetentionInDays" in group for group in groups)


def test_gpus_without_an_image_are_refused_before_anything_is_made() -> None:
    rules = load(TEMPLATE)["Rules"]
    [assertion] = rules["GpuWorkersNeedAnImage"]["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "GpuImageUri"}, ""]}]}
    pattern = load(TEMPLATE)["Parameters"]["GpuImageUri"]["AllowedPattern"]
    assert re.search(pattern, IMAGE)
    assert re.search(pattern, "")
    assert not re.search(pattern, "worker:latest")


def test_the_one_shot_verb_takes_what_the_batch_job_gives_it() -> None:
    from whisperdrop_worker.__main__ import main

    job = batch().resources["Job"]["Properties"]
    module, *arguments = job["ContainerProperties"]["Command"]
    values = job["Parameters"] | {"media": "s3://recordings/a.mp3", "output": "no address"}
    given = [re.sub(r"^Ref::(\w+)$", lambda m: values[m[1]], a) for a in arguments]

    assert module == "whisperdrop_worker"
    assert main(given) == 1  # understood, and refused for its output alone


def test_the_page_names_parameters_that_there_are() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    rows = [
        name
        for row in re.findall(r"^\|([^|]*)\|", page, re.MULTILINE)
        for name in _NAME.findall(row)
    ]
    given = re.findall(r"[ \"]([A-Z][a-z]+[A-Za-z]*)=", page)
    known = set(load(TEMPLATE)["Parameters"]) | set(batch().template["Parameters"])

    assert len(rows) > 10
    assert [name for name in [*rows, *given] if name not in known | _OF_OTHER_TOOLS] == []


_NAME = re.compile(r"`([A-Z][A-Za-z]+)`")
_OF_OTHER_TOOLS = {"CertificateArn", "Name", "Values"}


def test_each_stage_of_the_file_is_the_one_it_says() -> None:
    stages = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert {"default", "dev", "prod"} <= set(stages)
    for stage, tables in stages.items():
        if stage == "version":
            continue
        name = "dev" if stage == "default" else stage
        deploy = tables["deploy"]["parameters"]
        assert deploy["stack_name"] == f"whisperdrop-{name}"
        assert f"Stage={name}" in deploy["parameter_overrides"]
        tags = ["project=whisperdrop", f"stage={name}", f"whisperdrop={name}"]
        assert deploy["tags"] == tags
        assert deploy["confirm_changeset"] is True
        assert "region" not in deploy
