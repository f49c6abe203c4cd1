"""What no template of this project may have. Each rule takes a template and yields faults in words.

``EXCUSED`` and the tables beside it hold the exceptions, each with its reason; one that excuses
nothing any more is itself a fault, so that they cannot outlive what they were for.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from tests.templates import Node, listed, of_type, rendered, statements

Rule = Callable[[Node], Iterator[str]]

EXCUSED: Mapping[tuple[str, str], str] = {
    ("DispatcherRole", "ListWorkers"): (
        "ecs:ListTasks knows no resource but a container instance; its condition, ecs:cluster, is"
        " this stage's cluster"
    ),
    ("JobRole", "Read"): (
        "whoever deploys the Batch variant names the bucket that holds the recordings and nothing"
        " else; where in it they lie is theirs, and it is only read"
    ),
}
"""(logical id, Sid) of statements that may name every resource."""

OPEN: Mapping[tuple[str, str], str] = {
    ("FleetLogPolicy", "EventsOpenStreams"): (
        "EventBridge opens a log stream without saying for which rule; an empty stream in this one"
        " group is all that it allows"
    ),
}
"""(logical id, Sid) of statements by which a service may act for whatever account."""

MANAGED: Mapping[str, str] = {
    "AWSXRayDaemonWriteAccess": "X-Ray takes traces for no resource in particular",
    "AmazonECSInfrastructureRolePolicyForManagedInstances": (
        "ECS needs it to start and end instances; AWS keeps it, and it is narrowed to tagged ones"
    ),
    "AmazonECSInstanceRolePolicyForManagedInstances": "what ECS's own agent on an instance needs",
    "AmazonECSTaskExecutionRolePolicy": (
        "ECR gives its token for no resource in particular; pulling and the log are all it adds"
    ),
    "AWSBatchServiceRole": "AWS Batch starts and ends instances with it; AWS keeps it",
    "AmazonEC2ContainerServiceforEC2Role": "what the ECS agent on an instance needs; AWS keeps it",
}
"""Policies of AWS's own that may be attached."""

TRUSTED: Mapping[str, str] = {
    "lambda.amazonaws.com": "Lambda takes a function's role without saying for which account",
    "ec2.amazonaws.com": "an instance profile is bound to its account by itself",
    "ecs.amazonaws.com": "ECS takes a capacity provider's role without saying for which account",
    "batch.amazonaws.com": "Batch takes its service role without saying for which account",
}
"""Services that may take a role without a condition; all others could be a confused deputy."""

_SOURCE = {"aws:SourceAccount", "aws:SourceArn"}
_ANY = re.compile(r"[*?]")


def wildcard_faults(template: Node) -> Iterator[str]:
    """Permissions that reach every resource, every action or everybody."""
    for name, resource in template["Resources"].items():
        for statement in statements(resource):
            where = f"{name}, statement {statement.get('Sid', '(without Sid)')}"
            for turned in {"NotAction", "NotResource", "NotPrincipal"} & statement.keys():
                yield f"{where}: {turned} allows whatever is not thought of"
            if statement["Effect"] != "Allow":
                continue
            for action in map(rendered, listed(statement.get("Action"))):
                if _ANY.search(action):
                    yield f"{where}: the action {action}"
            if (name, statement.get("Sid")) not in EXCUSED:
                for arn in map(rendered, listed(statement.get("Resource"))):
                    if _reaches_everything(arn):
                        yield f"{where}: the resource {arn}"
            for who in _principals(statement):
                if _ANY.search(who):
                    yield f"{where}: the principal {who}"


def _principals(statement: Node) -> list[str]:
    principal = statement.get("Principal", [])
    named = principal.values() if isinstance(principal, dict) else [principal]
    return [rendered(who) for part in named for who in listed(part)]


def _reaches_everything(arn: str) -> bool:
    """Whether a wildcard stands where the resource's name, or the bucket's prefix, should be."""
    # The colons of ${AWS::Region} separate nothing.
    rest = re.sub(r"\$\{AWS::(\w+)\}", r"<\1>", arn)
    if rest.startswith("arn:"):
        fields = rest.split(":", 5)
        rest = fields[-1]
        if len(fields) < 6 or any(_ANY.search(field) for field in fields[:-1]):
            return True
    tokens = re.split(r"[:/]", rest)
    return any(_ANY.match(token) for token in tokens[:2])


def stale_excuses(templates: list[Node]) -> Iterator[str]:
    """Exceptions that no statement needs."""
    used = {
        (name, statement.get("Sid"))
        for template in templates
        for name, resource in template["Resources"].items()
        for statement in statements(resource)
        if any(_reaches_everything(rendered(a)) for a in listed(statement.get("Resource")))
        or ("Principal" in statement and "Condition" not in statement)
    }
    for name, sid in (EXCUSED.keys() | OPEN.keys()) - used:
        yield f"{name}, statement {sid}: is excused for nothing"


def policy_faults(template: Node) -> Iterator[str]:
    """Policies that are somebody else's, or that SAM would write."""
    for name, role in of_type(template, "AWS::IAM::Role").items():
        for arn in map(rendered, listed(role.get("ManagedPolicyArns"))):
            if arn.rpartition("/")[2] not in MANAGED:
                yield f"{name}: the managed policy {arn}"
    for name, function in of_type(template, "AWS::Serverless::Function").items():
        if "Policies" in function:
            yield f"{name}: policies that SAM writes; name them in a role"


def trust_faults(template: Node) -> Iterator[str]:
    """Doors that a service opens for anybody's account: roles, queues, topics, logs."""
    for name, resource in template["Resources"].items():
        for statement in statements(resource):
            if statement["Effect"] != "Allow" or "Principal" not in statement:
                continue
            if (name, statement.get("Sid")) in OPEN:
                continue
            keys = {key for test in statement.get("Condition", {}).values() for key in test}
            for who in _principals(statement):
                if who not in TRUSTED and not keys & _SOURCE:
                    yield f"{name}: trusts {who} for whatever account it acts"
    for name, permission in of_type(template, "AWS::Lambda::Permission").items():
        if not {"SourceArn", "SourceAccount"} & permission.keys():
            yield f"{name}: lets a service invoke it for whatever account it acts"


def log_faults(template: Node) -> Iterator[str]:
    """Logs for ever, and logs that nobody set up."""
    groups = of_type(template, "AWS::Logs::LogGroup")
    for name, group in groups.items():
        if "RetentionInDays" not in group:
            yield f"{name}: keeps its logs for ever"
    owners: dict[str, str] = {}
    for name, function in of_type(template, "AWS::Serverless::Function").items():
        own = rendered(function.get("LoggingConfig", {}).get("LogGroup", "")).strip("${}")
        if own not in groups:
            yield f"{name}: has no log group here"
        elif own in owners:
            yield f"{name}: shares the log group of {owners[own]}"
        owners[own] = name


def role_faults(template: Node) -> Iterator[str]:
    """Functions without a role of their own."""
    roles = of_type(template, "AWS::IAM::Role")
    owners: dict[str, str] = {}
    for name, function in of_type(template, "AWS::Serverless::Function").items():
        role = rendered(function.get("Role", "")).strip("${}").partition(".")[0]
        if role not in roles:
            yield f"{name}: has no role here"
        elif role in owners:
            yield f"{name}: shares the role of {owners[role]}"
        owners[role] = name


def store_faults(template: Node) -> Iterator[str]:
    """Buckets and queues that are open, plain, or spoken to in the clear."""
    guarded = {
        rendered(target).strip("${}")
        for policy in of_type(
            template, "AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy"
        ).values()
        if any(
            statement["Effect"] == "Deny"
            and statement["Principal"] == "*"
            and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            for statement in statements(policy)
        )
        for key in ("Bucket", "Queues", "Topics")
        for target in listed(policy.get(key))
    }
    kept = of_type(template, "AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SNS::Topic")
    for name in kept.keys() - guarded:
        yield f"{name}: takes plain HTTP"
    for name, bucket in of_type(template, "AWS::S3::Bucket").items():
        blocked = bucket.get("PublicAccessBlockConfiguration", {})
        if len(blocked) < 4 or not all(blocked.values()):
            yield f"{name}: can be made public"
        if "BucketEncryption" not in bucket:
            yield f"{name}: does not say how it is encrypted"
    for name, queue in of_type(template, "AWS::SQS::Queue").items():
        if not {"SqsManagedSseEnabled", "KmsMasterKeyId"} & queue.keys():
            yield f"{name}: does not say how it is encrypted"


RULES: tuple[Rule, ...] = (
    wildcard_faults,
    policy_faults,
    trust_faults,
    log_faults,
    role_faults,
    store_faults,
)


def faults(template: Node) -> list[str]:
    """All of them."""
    return [fault for rule in RULES for fault in rule(template)]
