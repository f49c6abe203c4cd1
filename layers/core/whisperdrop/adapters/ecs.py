"""Workers as tasks of Amazon ECS.

Quotas and answers: Amazon ECS API reference, RunTask, DescribeTasks, "Ensuring idempotency".
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from whisperdrop.adapters.aws import error_code, store_errors
from whisperdrop.ports import FleetTask, Started

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_ecs.type_defs import TaskTypeDef

_MOST_A_CALL = 10
_MOST_DESCRIBED = 100
_THROTTLED = {"ThrottlingException", "Throttling", "RequestLimitExceeded"}
_NOT_YET = {"PROVISIONING", "PENDING", "ACTIVATING"}


class EcsTaskRunner:
    """One task definition on one cluster."""

    def __init__(
        self,
        client: "ECSClient",
        *,
        cluster: str,
        task_definition: str,
        subnets: Sequence[str] = (),
        security_groups: Sequence[str] = (),
    ) -> None:
        """Without ``subnets``, tasks have the network of their machines."""
        self._client = client
        self._cluster = cluster
        self._definition = task_definition
        self._subnets = tuple(subnets)
        self._security_groups = tuple(security_groups)

    def start(self, count: int, *, provider: str, group: str, token: str) -> Started:
        tasks: list[str] = []
        failures: list[str] = []
        throttled = unsure = False
        network: Any = self._network()
        for n, wanted in enumerate(_calls(count)):
            try:
                answer = self._client.run_task(
                    cluster=self._cluster,
                    taskDefinition=self._definition,
                    count=wanted,
                    capacityProviderStrategy=[{"capacityProvider": provider, "weight": 1}],
                    startedBy=group,
                    clientToken=f"{token}-{n}",
                    **network,
                )
            except ClientError as error:
                code = error_code(error)[0]
                if code == "ConflictException":  # asked before, for another number: it was answered
                    conflict: Any = error.response
                    tasks += conflict.get("resourceIds", [])
                    continue
                failures.append(f"{code}: {error.response['Error'].get('Message', '')}")
                throttled = code in _THROTTLED
                unsure = error_code(error)[1] >= 500
            except BotoCoreError as error:  # no connection, or one that ended before the answer
                failures.append(type(error).__name__)
                unsure = True
            else:
                tasks += [task["taskArn"] for task in answer["tasks"]]
                failures += [_reason(failure) for failure in answer["failures"]]
                if not answer["failures"]:
                    continue
            break  # more of the same would fail the same way
        return Started(tuple(tasks), tuple(failures), throttled, unsure)

    def _network(self) -> dict[str, Any]:
        if not self._subnets:
            return {}
        return {
            "networkConfiguration": {
                "awsvpcConfiguration": {
                    "subnets": list(self._subnets),
                    "securityGroups": list(self._security_groups),
                }
            }
        }

    def tasks(self, ids: Sequence[str] = ()) -> tuple[FleetTask, ...]:
        family = self._definition.rpartition("/")[2].partition(":")[0]
        with store_errors("looking at the fleet"):
            pages = self._client.get_paginator("list_tasks").paginate(
                cluster=self._cluster, family=family, desiredStatus="RUNNING"
            )
            arns = list(dict.fromkeys([arn for page in pages for arn in page["taskArns"]] + [*ids]))
            found = []
            for first in range(0, len(arns), _MOST_DESCRIBED):
                answer = self._client.describe_tasks(
                    cluster=self._cluster, tasks=arns[first : first + _MOST_DESCRIBED]
                )
                found += [_seen(task) for task in answer["tasks"]]
        return tuple(found)


def _calls(count: int) -> Iterator[int]:
    for first in range(0, count, _MOST_A_CALL):
        yield min(_MOST_A_CALL, count - first)


def _reason(failure: Any) -> str:
    """Such as ``RESOURCE:GPU`` or ``Capacity is unavailable at this time``."""
    return ": ".join(filter(None, (failure.get("reason"), failure.get("detail")))) or "no reason"


def _seen(task: "TaskTypeDef") -> FleetTask:
    state: Literal["starting", "running", "stopped"] = "running"
    if task.get("desiredStatus") == "STOPPED" or task.get("lastStatus") == "STOPPED":
        state = "stopped"  # one that is about to stop hands its jobs back, and takes no more
    elif task.get("lastStatus") in _NOT_YET:
        state = "starting"
    return FleetTask(
        id=task["taskArn"],
        state=state,
        asked_at=task.get("createdAt") or datetime.now(UTC),  # it was, only not everybody says so
        provider=task.get("capacityProviderName"),
        group=task.get("startedBy"),
        never_ran=state == "stopped" and task.get("startedAt") is None,
        why=task.get("stoppedReason"),
    )
