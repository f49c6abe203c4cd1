"""infra/deployer-policy.json has what CloudFormation says that our resources need, and no more."""

import json
from fnmatch import fnmatchcase

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

from tests.templates import ROOT, TEMPLATES, listed, load

POLICY = json.loads((ROOT / "infra" / "deployer-policy.json").read_text())

MADE_BY_SAM = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Stage",
    "AWS::Events::Rule",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Scheduler::Schedule",
}
KINDS = MADE_BY_SAM | {
    resource["Type"]
    for path in TEMPLATES
    for resource in load(path)["Resources"].values()
    if not resource["Type"].startswith("AWS::Serverless::")
}
NOT_USED = (
    "autoscaling:",  # capacity providers of Auto Scaling groups
    "billing:",  # budgets of somebody else's billing view
    "ec2:*VpcEncryptionControl",
    "ec2:*VpcTenancy",
    "ec2:*VpnGateway",
    "eks:",  # Batch on Kubernetes
    "elasticfilesystem:",
    "firehose:",  # log groups that are streams
    "kms:",  # a key of one's own has a policy of its own
    "s3files:",
    "s3tables:",  # inventories of buckets
    "vpc-lattice:",
    "vpce:",
)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_who_deploys_may_do_what_each_resource_takes(kind: str) -> None:
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
    needed = {p for name, h in handlers.items() if name != "list" for p in h["permissions"]}
    allowed = [action for s in POLICY["Statement"] for action in listed(s["Action"])]
    excused = [f"{prefix}*" if prefix.endswith(":") else prefix for prefix in NOT_USED]
    assert needed
    assert [
        permission
        for permission in sorted(needed)
        if not any(fnmatchcase(permission.lower(), a.lower()) for a in (*allowed, *excused))
    ] == []


def test_the_policy_fits_and_gives_nobody_else_anything() -> None:
    assert len(json.dumps(POLICY, separators=(",", ":"))) < 6144  # IAM's limit
    for statement in POLICY["Statement"]:
        actions = listed(statement["Action"])
        assert "*" not in actions
        if statement["Resource"] == "*":
            # Whole services are for what bears our name.
            assert not [action for action in actions if action.endswith(":*")]
            assert not [action for action in actions if action.startswith(("iam:", "s3:"))]
