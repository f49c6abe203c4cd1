"""What the templates and the compose file promise, read from the files themselves."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"
STORAGE = ROOT / "infra" / "storage.yaml"
COMPOSE = ROOT / "docker" / "compose.yaml"


class _Loader(yaml.SafeLoader):
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


_Loader.add_multi_constructor("!", _long_form)


def _load(path: Path) -> dict[str, Any]:
    loaded = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a subclass of SafeLoader
    assert isinstance(loaded, dict)
    return loaded


def _resources(path: Path, kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in _load(path)["Resources"].items()
        if resource["Type"] == kind
    }


def _statements(node: Any) -> Iterator[dict[str, Any]]:
    """Every policy statement at any depth, the two arms of an ``Fn::If`` included."""
    if isinstance(node, dict):
        if "Effect" in node:
            yield node
        for value in node.values():
            yield from _statements(value)
    elif isinstance(node, list):
        for value in node:
            yield from _statements(value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("path", [TEMPLATE, STORAGE], ids=lambda path: path.name)
def test_cfn_lint_finds_nothing(path: Path) -> None:
    # It stands beside the interpreter that runs the tests, on the PATH or not.
    lint = [str(Path(sys.executable).with_name("cfn-lint")), "--regions", "us-east-1", "--"]
    result = subprocess.run(
        [*lint, str(path)], capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", [TEMPLATE, STORAGE], ids=lambda path: path.name)
def test_templates_use_no_yaml_aliases_because_cloudformation_refuses_them(path: Path) -> None:
    tokens = yaml.scan(path.read_text(), _Loader)
    assert not [t for t in tokens if isinstance(t, (yaml.AnchorToken, yaml.AliasToken))]


@pytest.mark.parametrize("path", [TEMPLATE, STORAGE], ids=lambda path: path.name)
def test_no_permission_reaches_every_resource_or_every_action(path: Path) -> None:
    statements = list(_statements(_load(path)["Resources"]))
    allowed = [s for s in statements if s["Effect"] == "Allow"]
    assert allowed
    for statement in statements:
        assert "*" not in _listed(statement.get("Resource")), statement
    for statement in allowed:
        assert not [a for a in _listed(statement["Action"]) if a.endswith("*")], statement
        assert statement.get("Principal") not in ("*", {"AWS": "*"}), statement


def test_every_function_has_a_role_and_a_log_group_of_its_own() -> None:
    functions = _resources(TEMPLATE, "AWS::Serverless::Function")
    roles = _resources(TEMPLATE, "AWS::IAM::Role")
    groups = _resources(TEMPLATE, "AWS::Logs::LogGroup")
    assert set(functions) == {"ApiFunction", "WorkerFunction", "SweepFunction", "NotifierFunction"}
    used_roles = [function["Role"]["Fn::GetAtt"][0] for function in functions.values()]
    used_groups = [function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions.values()]
    assert sorted(used_roles) == sorted(roles)
    assert sorted(used_groups) == sorted(groups)
    assert all("RetentionInDays" in group for group in groups.values())


def test_a_message_stays_hidden_for_as_long_as_a_worker_may_run() -> None:
    parameters = _load(TEMPLATE)["Parameters"]
    hidden, timeout = parameters["VisibilityTimeoutSeconds"], parameters["WorkerTimeoutSeconds"]
    assert hidden["MinValue"] >= timeout["MaxValue"]
    assert hidden["Default"] >= 6 * timeout["Default"]


def test_a_poisoned_message_fails_alone_and_ends_in_a_dead_letter_queue() -> None:
    functions = _resources(TEMPLATE, "AWS::Serverless::Function")
    consumers = [functions["WorkerFunction"], functions["NotifierFunction"]]
    sources = [event["Properties"] for f in consumers for event in f["Events"].values()]
    assert len(sources) == 3
    for source in sources:
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    queues = _resources(STORAGE, "AWS::SQS::Queue")
    for name in ("Interactive", "Bulk", "Notify"):
        redrive = queues[f"{name}Queue"]["RedrivePolicy"]
        assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": [f"{name}DeadLetterQueue", "Arn"]}
        assert queues[f"{name}DeadLetterQueue"]["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_bucket_and_queues_refuse_plain_http_unless_told_otherwise() -> None:
    storage = _load(STORAGE)
    assert storage["Parameters"]["RequireTls"]["Default"] == "true"
    assert "RequireTls" not in _resources(TEMPLATE, "AWS::CloudFormation::Stack")["Storage"]
    guarded = set()
    for resource in storage["Resources"].values():
        for statement in _statements(resource):
            if statement["Effect"] == "Deny":
                assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
                assert statement["Principal"] == "*"
                properties = resource["Properties"]
                for target in _listed(properties.get("Queues", properties.get("Bucket"))):
                    guarded.add(target["Ref"])
    stored = {
        name
        for name, resource in storage["Resources"].items()
        if resource["Type"] in {"AWS::S3::Bucket", "AWS::SQS::Queue"}
    }
    assert guarded == stored


def test_the_bucket_is_private_encrypted_and_outlives_its_stack() -> None:
    bucket = _load(STORAGE)["Resources"]["Bucket"]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())
    assert "BucketEncryption" in bucket["Properties"]


def test_a_notice_stays_hidden_for_as_long_as_a_notifier_may_run() -> None:
    notifier = _resources(TEMPLATE, "AWS::Serverless::Function")["NotifierFunction"]
    queue = _resources(STORAGE, "AWS::SQS::Queue")["NotifyQueue"]
    assert queue["VisibilityTimeout"] >= 6 * notifier["Timeout"]


def test_only_who_signs_and_who_shows_them_may_read_the_secrets_of_webhooks() -> None:
    readers = {
        name
        for name, role in _resources(TEMPLATE, "AWS::IAM::Role").items()
        for statement in _statements(role)
        if any("webhook-secrets/" in str(arn) for arn in _listed(statement.get("Resource")))
    }
    assert readers == {"ApiRole", "NotifierRole"}


def test_only_this_bucket_may_send_to_the_queues_that_it_feeds() -> None:
    senders = [
        statement
        for policy in _resources(STORAGE, "AWS::SQS::QueuePolicy").values()
        for statement in _statements(policy)
        if statement["Effect"] == "Allow"
    ]
    assert len(senders) == 2
    for sender in senders:
        assert set(sender["Condition"]) == {"ArnEquals", "StringEquals"}


def test_compose_publishes_on_loopback_only() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published), published


def test_compose_asks_for_no_privilege_and_runs_our_images_read_only() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert set(services) == {"localstack", "setup", "api", "worker", "sweep", "notifier"}
    for name, service in services.items():
        assert not {"privileged", "ulimits", "cap_add"} & set(service), name
        assert service.get("network_mode") != "host", name
    for name in ("api", "worker", "sweep", "notifier"):
        assert services[name]["read_only"] is True, name


@pytest.mark.parametrize("name", ["api", "worker"])
def test_dockerfiles_can_be_read_by_every_builder_and_run_as_a_numbered_user(name: str) -> None:
    text = (ROOT / "docker" / f"{name}.Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for unwanted in ("<<", "--mount", "--chmod", "--link", "apt"):
        assert not [line for line in lines if unwanted in line], unwanted
    assert "# syntax=" not in text
    user = next(line.split()[1] for line in lines if line.startswith("USER "))
    assert user.split(":")[0].isdigit()
    assert user.split(":")[0] != "0"
    for copied in (line.split()[1:-1] for line in lines if line.startswith("COPY ")):
        for source in copied:
            assert (ROOT / source).exists(), source
