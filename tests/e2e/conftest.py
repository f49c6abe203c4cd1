"""The whole service, as `make run` starts it, on free ports."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.running import RunningStack, stack_on_free_ports


@pytest.fixture(scope="session")
def shared_stack(
    project_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    """One stack for every test that leaves it as it was."""
    with stack_on_free_ports(project_root, tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="session")
def openai_stack(
    project_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    """A stack whose waits are so short that OpenAI's clients have to retry; base on demand."""
    environment = {
        "SYNC_WAIT_SECONDS": "0.5",
        "MAX_SYNC_REQUESTS": "4",
        "ALLOWED_MODELS": "base",
    }
    data_dir = tmp_path_factory.mktemp("openai-stack")
    with stack_on_free_ports(project_root, data_dir, environment) as running:
        yield running


@pytest.fixture
def stack(shared_stack: RunningStack) -> RunningStack:
    """The shared stack, its children alive."""
    shared_stack.revive()
    return shared_stack


@pytest.fixture
def client(stack: RunningStack) -> Client:
    """With the key of the environment."""
    return Client(stack.address, stack.api_key)
