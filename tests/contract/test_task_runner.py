"""What runs workers: in memory and on moto's ECS. moto knows no tokens and no lack of machines, so
what ECS answers then is played by botocore's own stubber, which holds it against the service model.
"""

import functools
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber
from moto import mock_aws

from tests.clock import ManualClock
from tests.emulator import CREDENTIALS, Emulator
from whisperdrop.adapters.aws import ecs_client
from whisperdrop.adapters.ecs import EcsTaskRunner
from whisperdrop.adapters.memory_fleet import MemoryTaskRunner
from whisperdrop.errors import StoreError
from whisperdrop.ports import TaskRunner

CLUSTER = "whisperdrop"
FAMILY = "whisperdrop-worker"
PROVIDER = "FARGATE_SPOT"  # moto places others on registered instances alone


@functools.cache
def _session() -> boto3.Session:
    """One for all tests: a new one reads its models again."""
    return boto3.Session()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", _session())
        yield


@dataclass(frozen=True)
class Fleet:
    """A runner, and ways to be its machines."""

    runner: TaskRunner
    stop: Callable[[str], Any]
    start_other: Callable[[], Any]


@pytest.fixture(params=["memory", "moto", pytest.param("ministack", marks=pytest.mark.emulator)])
def fleet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    if request.param == "memory":
        memory = MemoryTaskRunner(ManualClock())
        return Fleet(memory, memory.stops, lambda: None)
    if request.param == "ministack":
        emulator: Emulator = request.getfixturevalue("emulator")
        for name, value in emulator.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", _session())
    else:
        request.getfixturevalue("aws")
    client = ecs_client()
    cluster = f"contract-{secrets.token_hex(4)}"
    client.create_cluster(clusterName=cluster)
    for family in (FAMILY, "another"):
        definition = client.register_task_definition(
            family=family,
            networkMode="awsvpc" if family == FAMILY else "bridge",
            containerDefinitions=[{"name": "worker", "image": "worker@sha256:0", "memory": 512}],
        )["taskDefinition"]["taskDefinitionArn"]

    ec2 = boto3.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]

    def start_other() -> None:
        client.run_task(cluster=cluster, taskDefinition=definition, launchType="FARGATE")

    runner = EcsTaskRunner(
        client,
        cluster=cluster,
        task_definition=FAMILY,
        subnets=[subnet],
        security_groups=[group],
    )
    return Fleet(runner, lambda task: client.stop_task(cluster=cluster, task=task), start_other)


def test_a_new_fleet_has_no_tasks(fleet: Fleet) -> None:
    assert fleet.runner.tasks() == ()


@pytest.mark.parametrize("count", [1, 10, 11, 37])
def test_as_many_as_are_asked_for_are_started(fleet: Fleet, count: int) -> None:
    started = fleet.runner.start(count, provider=PROVIDER, group="g1", token="t1")
    assert len(set(started.tasks)) == count
    assert (started.failures, started.throttled, started.unsure) == ((), False, False)
    tasks = fleet.runner.tasks()
    assert {task.id for task in tasks} == set(started.tasks)
    assert {task.group for task in tasks} == {"g1"}
    assert {task.state for task in tasks} <= {"starting", "running"}
    assert all(task.asked_at.tzinfo is not None for task in tasks)


def test_more_tasks_than_one_answer_describes_are_all_seen(fleet: Fleet) -> None:
    started = fleet.runner.start(130, provider=PROVIDER, group="g1", token="t1")
    assert {task.id for task in fleet.runner.tasks()} == set(started.tasks)


def test_a_task_that_stopped_is_seen_by_who_asks_for_it(fleet: Fleet) -> None:
    started = fleet.runner.start(2, provider=PROVIDER, group="g1", token="t1")
    gone, stays = started.tasks
    fleet.stop(gone)
    assert [task.id for task in fleet.runner.tasks()] == [stays]
    states = {task.id: task.state for task in fleet.runner.tasks(started.tasks)}
    assert states[gone] == "stopped"
    assert states[stays] != "stopped"


def test_a_task_that_nobody_knows_is_no_error(fleet: Fleet) -> None:
    known = fleet.runner.start(1, provider=PROVIDER, group="g1", token="t1").tasks
    unknown = f"{known[0][:-4]}0000"
    assert [task.id for task in fleet.runner.tasks((unknown,))] == list(known)


def test_other_peoples_tasks_are_not_seen(fleet: Fleet) -> None:
    fleet.start_other()
    assert fleet.runner.tasks() == ()


def test_in_memory_a_repeated_token_starts_nothing_more() -> None:
    runner = MemoryTaskRunner(ManualClock())
    first, again = (runner.start(3, provider="spot", group="g", token="t") for _ in range(2))
    assert first == again
    assert len(runner.tasks()) == 3


# -- What moto does not do ----------------------------------------------------------------------


@dataclass
class Played:
    """The ECS adapter, over answers that a test gives."""

    stub: Stubber
    runner: EcsTaskRunner

    def answers(self, count: int, *tasks: str, token: str, failures: tuple[str, ...] = ()) -> None:
        """To the next RunTask, which has to ask exactly so."""
        self.stub.add_response(
            "run_task",
            {
                "tasks": [{"taskArn": task} for task in tasks],
                "failures": [{"reason": reason} for reason in failures],
            },
            {
                "cluster": CLUSTER,
                "taskDefinition": FAMILY,
                "count": count,
                "capacityProviderStrategy": [{"capacityProvider": "spot", "weight": 1}],
                "startedBy": "g",
                "clientToken": token,
            },
        )

    def fails(self, code: str, status: int = 400, **fields: Any) -> None:
        """The next RunTask."""
        self.stub.add_client_error(
            "run_task", code, "no", status, response_meta=None, modeled_fields=fields or None
        )

    def start(self, count: int) -> Any:
        """With the stub's answers, all of which have to be used."""
        started = self.runner.start(count, provider="spot", group="g", token="t")
        self.stub.assert_no_pending_responses()
        return started


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    client = ecs_client()
    runner = EcsTaskRunner(client, cluster=CLUSTER, task_definition=FAMILY)
    with Stubber(client) as stub:
        yield Played(stub, runner)


def test_each_ten_tasks_have_a_token_of_their_own(played: Played) -> None:
    played.answers(10, *"abcdefghij", token="t-0")
    played.answers(3, *"klm", token="t-1")
    assert played.start(13).tasks == tuple("abcdefghijklm")


def test_a_token_fits_in_what_ecs_takes(played: Played) -> None:
    token = f"{'0' * 32}-9"
    played.answers(1, "a", token=f"{token}-0")
    assert played.runner.start(1, provider="spot", group="g", token=token).tasks == ("a",)
    assert len(f"{token}-99") <= 64


def test_what_ecs_did_not_start_is_said_and_no_more_is_asked(played: Played) -> None:
    played.answers(10, *"abc", token="t-0", failures=("RESOURCE:GPU",) * 7)
    started = played.start(25)
    assert (started.tasks, started.failures) == (tuple("abc"), ("RESOURCE:GPU",) * 7)
    assert not started.throttled


@pytest.mark.parametrize(
    ("code", "status", "throttled", "unsure"),
    [
        ("ThrottlingException", 400, True, False),
        ("ServerException", 500, False, True),
        ("ServiceUnavailableException", 503, False, True),
        ("AccessDeniedException", 400, False, False),
        ("ClusterNotFoundException", 400, False, False),
    ],
)
def test_an_error_is_an_answer(
    code: str, status: int, throttled: bool, unsure: bool, played: Played
) -> None:
    played.answers(10, *"abcdefghij", token="t-0")
    for _ in range(5 if throttled or unsure else 1):  # botocore's own attempts
        played.fails(code, status)
        break
    started = played.start(20)
    assert started.tasks == tuple("abcdefghij")
    assert started.failures == (f"{code}: no",)
    assert (started.throttled, started.unsure) == (throttled, unsure)


def test_a_start_that_was_made_before_for_another_number_is_what_it_was(played: Played) -> None:
    played.fails("ConflictException", resourceIds=["a", "b"])
    started = played.start(3)
    assert (started.tasks, started.failures) == (("a", "b"), ())


def described(**fields: Any) -> dict[str, Any]:
    return {"taskArn": "a", "createdAt": datetime(2026, 3, 1, tzinfo=UTC)} | fields


@pytest.mark.parametrize(
    ("status", "desired", "state"),
    [
        ("PROVISIONING", "RUNNING", "starting"),
        ("PENDING", "RUNNING", "starting"),
        ("ACTIVATING", "RUNNING", "starting"),
        ("RUNNING", "RUNNING", "running"),
        ("RUNNING", "STOPPED", "stopped"),
        ("DEACTIVATING", "STOPPED", "stopped"),
        ("DEPROVISIONING", "STOPPED", "stopped"),
        ("STOPPED", "STOPPED", "stopped"),
    ],
)
def test_every_state_of_a_task_is_one_of_three(
    status: str, desired: str, state: str, played: Played
) -> None:
    played.stub.add_response("list_tasks", {"taskArns": ["a"]}, ANY_LIST)
    task = described(lastStatus=status, desiredStatus=desired, capacityProviderName="spot")
    played.stub.add_response("describe_tasks", {"tasks": [task]}, ANY_DESCRIBE)
    [seen] = played.runner.tasks()
    assert (seen.state, seen.provider) == (state, "spot")
    assert seen.never_ran == (state == "stopped")


def test_a_task_that_had_begun_has_run(played: Played) -> None:
    played.stub.add_response("list_tasks", {"taskArns": []}, ANY_LIST)
    task = described(
        lastStatus="STOPPED",
        desiredStatus="STOPPED",
        startedAt=datetime(2026, 3, 1, 1, tzinfo=UTC),
        stoppedReason="Essential container in task exited",
    )
    played.stub.add_response("describe_tasks", {"tasks": [task]}, ANY_DESCRIBE)
    [seen] = played.runner.tasks(("a",))
    assert (seen.state, seen.never_ran) == ("stopped", False)
    assert seen.why == "Essential container in task exited"


def test_a_fleet_that_cannot_be_seen_is_a_store_error(played: Played) -> None:
    played.stub.add_client_error("list_tasks", "AccessDeniedException")
    with pytest.raises(StoreError):
        played.runner.tasks()


ANY_LIST = {"cluster": CLUSTER, "family": FAMILY, "desiredStatus": "RUNNING"}
ANY_DESCRIBE = {"cluster": CLUSTER, "tasks": ANY}
