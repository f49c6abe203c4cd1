"""What the templates and the compose file promise, read from the files themselves."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]

from tests import template_rules
from tests.templates import ROOT, STORAGE, TEMPLATE, TEMPLATES, Loader, Node, of_type, parse
from tests.templates import listed as _listed
from tests.templates import load as _load
from tests.templates import statements as _statements

COMPOSE = ROOT / "docker" / "compose.yaml"


def _resources(path: Path, kind: str) -> dict[str, Node]:
    return of_type(_load(path), kind)


def test_cfn_lint_finds_nothing() -> None:
    # It stands beside the interpreter that runs the tests, on the PATH or not.
    lint = [str(Path(sys.executable).with_name("cfn-lint")), "--regions", "us-east-1", "--"]
    result = subprocess.run(
        [*lint, *map(str, TEMPLATES)], capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_use_no_yaml_aliases_because_cloudformation_refuses_them(path: Path) -> None:
    tokens = yaml.scan(path.read_text(), Loader)
    assert not [t for t in tokens if isinstance(t, (yaml.AnchorToken, yaml.AliasToken))]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_permission_is_scoped_and_every_store_is_closed(path: Path) -> None:
    assert template_rules.faults(_load(path)) == []


def test_what_sam_makes_of_it_is_as_sound() -> None:
    source = _load(TEMPLATE)
    for resource in source["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            properties["ContentUri"] = "s3://bucket/key"
        elif properties.get("PackageType") == "Image":
            properties["ImageUri"] = "111122223333.dkr.ecr.us-east-1.amazonaws.com/worker:1"
        elif resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = "s3://bucket/key"
    session = boto3.Session(region_name="us-east-1")
    made = Translator({}, Parser(), boto_session=session).translate(source, {})
    assert {r["Type"] for r in made["Resources"].values()} > {
        "AWS::Scheduler::Schedule",
        "AWS::Lambda::Permission",
        "AWS::IAM::Role",
    }
    assert template_rules.faults(made) == []


def test_no_exception_outlives_what_it_was_for() -> None:
    assert list(template_rules.stale_excuses([_load(path) for path in TEMPLATES])) == []


@pytest.fixture
def sound() -> Node:
    """A small template without a fault."""
    return parse(_SOUND)


def test_the_small_template_is_sound(sound: Node) -> None:
    assert template_rules.faults(sound) == []


def _set(*path: str | int, to: Any) -> Callable[[Node], None]:
    def change(template: Node) -> None:
        node: Any = template["Resources"]
        for step in path[:-1]:
            node = node[step]
        if to is None:
            del node[path[-1]]
        else:
            node[path[-1]] = to

    return change


_ALLOW = ("Role", "Properties", "Policies", 0, "PolicyDocument", "Statement", 0)
_TRUST = ("Role", "Properties", "AssumeRolePolicyDocument", "Statement", 0)
_QUEUE = ("QueuePolicy", "Properties", "PolicyDocument", "Statement", 0)
_EITHER = {"Fn::If": ["Some", {"Fn::GetAtt": ["Bucket", "Arn"]}, "*"]}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_set(*_ALLOW, "Resource", to="*"), "Role, statement Read: the resource *"),
        (_set(*_ALLOW, "Resource", to=["a", "*"]), "Role, statement Read: the resource *"),
        (_set(*_ALLOW, "Resource", to=_EITHER), "Role, statement Read: the resource *"),
        (
            _set(*_ALLOW, "Resource", to={"Fn::Sub": "${Bucket.Arn}/*"}),
            "Role, statement Read: the resource ${Bucket.Arn}/*",
        ),
        (
            _set(*_ALLOW, "Resource", to={"Fn::Join": ["", [{"Ref": "Bucket"}, "/*"]]}),
            "Role, statement Read: the resource ${Bucket}/*",
        ),
        (
            _set(*_ALLOW, "Resource", to="arn:aws:s3:::*"),
            "Role, statement Read: the resource arn:aws:s3:::*",
        ),
        (
            _set(*_ALLOW, "Resource", to={"Fn::Sub": "arn:aws:ecs:*:${AWS::AccountId}:task/a/b"}),
            "Role, statement Read: the resource arn:aws:ecs:*:${AWS::AccountId}:task/a/b",
        ),
        (
            _set(*_ALLOW, "Resource", to={"Fn::Sub": "arn:aws:ecs:${AWS::Region}:1:task/*"}),
            "Role, statement Read: the resource arn:aws:ecs:${AWS::Region}:1:task/*",
        ),
        (_set(*_ALLOW, "Action", to="s3:*"), "Role, statement Read: the action s3:*"),
        (_set(*_ALLOW, "Action", to=["s3:Get*"]), "Role, statement Read: the action s3:Get*"),
        (
            _set(*_ALLOW, "NotResource", to="arn:aws:s3:::other"),
            "Role, statement Read: NotResource allows whatever is not thought of",
        ),
        (_set(*_QUEUE, "Principal", to="*"), "QueuePolicy, statement Send: the principal *"),
        (
            _set(*_QUEUE, "Principal", to={"AWS": "*"}),
            "QueuePolicy, statement Send: the principal *",
        ),
        (
            _set(*_QUEUE, "Condition", to=None),
            "QueuePolicy: trusts s3.amazonaws.com for whatever account it acts",
        ),
        (
            _set(*_TRUST, "Principal", to={"Service": "ecs-tasks.amazonaws.com"}),
            "Role: trusts ecs-tasks.amazonaws.com for whatever account it acts",
        ),
        (
            _set("Role", "Properties", "ManagedPolicyArns", to=["arn:aws:iam::aws:policy/Admin"]),
            "Role: the managed policy arn:aws:iam::aws:policy/Admin",
        ),
        (
            _set("Function", "Properties", "Policies", to=["S3ReadPolicy"]),
            "Function: policies that SAM writes; name them in a role",
        ),
        (
            _set("Invoked", "Properties", "SourceArn", to=None),
            "Invoked: lets a service invoke it for whatever account it acts",
        ),
        (_set("Function", "Properties", "Role", to=None), "Function: has no role here"),
        (
            _set("Function", "Properties", "LoggingConfig", to=None),
            "Function: has no log group here",
        ),
        (
            _set("Logs", "Properties", "RetentionInDays", to=None),
            "Logs: keeps its logs for ever",
        ),
        (
            _set("Bucket", "Properties", "PublicAccessBlockConfiguration", to=None),
            "Bucket: can be made public",
        ),
        (
            _set(
                *("Bucket", "Properties", "PublicAccessBlockConfiguration"),
                "BlockPublicAcls",
                to=False,
            ),
            "Bucket: can be made public",
        ),
        (
            _set("Bucket", "Properties", "BucketEncryption", to=None),
            "Bucket: does not say how it is encrypted",
        ),
        (
            _set("BucketPolicy", "Properties", "PolicyDocument", "Statement", to=[]),
            "Bucket: takes plain HTTP",
        ),
        (
            _set("Queue", "Properties", "KmsMasterKeyId", to=None),
            "Queue: does not say how it is encrypted",
        ),
        (_set("QueuePolicy", "Properties", "Queues", to=[]), "Queue: takes plain HTTP"),
    ],
)
def test_a_template_that_is_not_sound_is_found_out(
    sound: Node, change: Callable[[Node], None], fault: str
) -> None:
    change(sound)
    assert template_rules.faults(sound) == [fault]


def test_two_functions_with_one_role_or_log_are_found_out(sound: Node) -> None:
    sound["Resources"]["Second"] = copy.deepcopy(sound["Resources"]["Function"])
    assert set(template_rules.faults(sound)) == {
        "Second: shares the log group of Function",
        "Second: shares the role of Function",
    }


def test_a_policy_in_json_is_read_too(sound: Node) -> None:
    text = (
        '{"Statement": [{"Sid": "Log", "Effect": "Allow", "Action": "logs:*", "Resource": "${R}"}]}'
    )
    sound["Resources"]["LogPolicy"] = {
        "Type": "AWS::Logs::ResourcePolicy",
        "Properties": {"PolicyDocument": {"Fn::Sub": [text, {"R": "*"}]}},
    }
    assert template_rules.faults(sound) == [
        "LogPolicy, statement Log: the action logs:*",
        "LogPolicy, statement Log: the resource *",
    ]


def test_an_exception_that_nothing_needs_is_found_out(sound: Node) -> None:
    assert set(template_rules.stale_excuses([sound])) == {
        f"{name}, statement {sid}: is excused for nothing"
        for name, sid in (*template_rules.EXCUSED, *template_rules.OPEN)
    }


_SOUND = """
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Role: !GetAtt Role.Arn
      LoggingConfig: { LogGroup: !Ref Logs }
  Invoked:
    Type: AWS::Lambda::Permission
    Properties: { Principal: events.amazonaws.com, SourceArn: !GetAtt Rule.Arn }
  Logs:
    Type: AWS::Logs::LogGroup
    Properties: { RetentionInDays: 30 }
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement:
          - Effect: Allow
            Principal: { Service: lambda.amazonaws.com }
            Action: sts:AssumeRole
      Policies:
        - PolicyName: own
          PolicyDocument:
            Statement:
              - Sid: Read
                Effect: Allow
                Action: s3:GetObject
                Resource: [!Sub "${Bucket.Arn}/jobs/*/parts/*", !GetAtt Bucket.Arn]
  Bucket:
    Type: AWS::S3::Bucket
    Properties:
      BucketEncryption: {}
      PublicAccessBlockConfiguration:
        BlockPublicAcls: true
        BlockPublicPolicy: true
        IgnorePublicAcls: true
        RestrictPublicBuckets: true
  BucketPolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Bucket
      PolicyDocument:
        Statement:
          - &tls
            Effect: Deny
            Principal: "*"
            Action: "*"
            Resource: "*"
            Condition: { Bool: { "aws:SecureTransport": "false" } }
  Queue:
    Type: AWS::SQS::Queue
    Properties: { KmsMasterKeyId: alias/own }
  QueuePolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Queue]
      PolicyDocument:
        Statement:
          - Sid: Send
            Effect: Allow
            Principal: { Service: s3.amazonaws.com }
            Action: sqs:SendMessage
            Resource: !GetAtt Queue.Arn
            Condition: { StringEquals: { "aws:SourceAccount": !Ref "AWS::AccountId" } }
          - *tls
"""


def test_every_function_has_a_role_and_a_log_group_of_its_own() -> None:
    functions = _resources(TEMPLATE, "AWS::Serverless::Function")
    roles = _resources(TEMPLATE, "AWS::IAM::Role")
    groups = _resources(TEMPLATE, "AWS::Logs::LogGroup")
    assert set(functions) == {
        "ApiFunction",
        "WorkerFunction",
        "DispatcherFunction",
        "SweepFunction",
        "NotifierFunction",
    }
    used_roles = [function["Role"]["Fn::GetAtt"][0] for function in functions.values()]
    used_groups = [function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions.values()]
    clocks = {"SweepScheduleRole", "DispatcherScheduleRole"}
    assert sorted(used_roles) == sorted(roles.keys() - clocks)
    assert sorted([*used_groups, "AccessLogGroup"]) == sorted(groups)
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
    sources += _resources(TEMPLATE, "AWS::Lambda::EventSourceMapping").values()
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


def _with_key(properties: Node, name: str) -> bool:
    return properties.get(name) == {
        "Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]
    }


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_key_of_ones_own_is_for_whatever_holds_anything(path: Path) -> None:
    template = _load(path)
    for kind, name in (
        ("AWS::Logs::LogGroup", "KmsKeyId"),
        ("AWS::SQS::Queue", "KmsMasterKeyId"),
        ("AWS::SNS::Topic", "KmsMasterKeyId"),
        ("AWS::SecretsManager::Secret", "KmsKeyId"),
    ):
        for logical, properties in of_type(template, kind).items():
            assert _with_key(properties, name), logical
    for bucket in of_type(template, "AWS::S3::Bucket").values():
        [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert _with_key(rule["ServerSideEncryptionByDefault"], "KMSMasterKeyID")
        assert rule["BucketKeyEnabled"]["Fn::If"][:2] == ["HasKey", True]
    for function in of_type(template, "AWS::Serverless::Function"):
        assert _with_key(template["Globals"]["Function"], "KmsKeyArn"), function


def test_a_role_may_use_the_key_alone_and_only_where_there_is_one() -> None:
    users = set()
    for path in TEMPLATES:
        for name, role in of_type(_load(path), "AWS::IAM::Role").items():
            plain = str(role)
            for statement in _statements(role):
                if any(action.startswith("kms:") for action in _listed(statement["Action"])):
                    users.add(name)
                    assert statement["Resource"] == {"Ref": "KmsKeyArn"}
                    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
                    assert str({"Fn::If": ["HasKey", statement, {"Ref": "AWS::NoValue"}]}) in plain
    functions = ("Api", "Worker", "Sweep", "Notifier", "Dispatcher")
    assert users == {f"{name}Role" for name in (*functions, "Task", "Job")}


def test_the_policy_in_the_docs_admits_every_service_that_uses_the_key() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    policy = json.loads(page.partition("```json\n")[2].partition("```")[0])
    services = {
        service
        for statement in policy["Statement"]
        for service in _listed(statement["Principal"].get("Service"))
    }
    assert services == {
        "s3.amazonaws.com",  # tells the queues
        "cloudwatch.amazonaws.com",  # tells the topic of alarms
        "budgets.amazonaws.com",
        "logs.REGION.amazonaws.com",
    }


def test_compose_publishes_on_loopback_only() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published), published


def test_compose_asks_for_no_privilege_and_confines_our_images() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    ours = {name for name, service in services.items() if "whisperdrop-" in service["image"]}
    assert {"api", "worker", "sweep", "notifier", "bridge"} <= ours
    for name, service in services.items():
        assert not {"privileged", "ulimits", "cap_add"} & set(service), name
        assert service.get("network_mode") != "host", name
        assert "no-new-privileges:true" in service["security_opt"], name
    for name in ours:
        assert services[name]["read_only"] is True, name
        assert services[name]["cap_drop"] == ["ALL"], name


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
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY ")]
    for copied in copies:
        for source in copied if not copied[0].startswith("--from") else ():
            assert (ROOT / source).exists(), source
