"""A browser on the page of a real stack.

Playwright's synchronous API keeps an event loop on the thread that started it, which other tests
would find there: so it lives as long as this folder's tests, not as long as the run.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.browser.watched import WatchedPage, watch
from tests.e2e.client import Client
from tests.e2e.running import RunningStack, stack_on_free_ports
from tests.lanes import lane

_PATIENCE_MS = 20_000  # a busy machine is no bug
expect.set_options(timeout=_PATIENCE_MS)

_ARGUMENTS = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


def chromium() -> str | None:
    """The browser's program: CHROMIUM in the environment, or the system's."""
    return shutil.which(os.environ.get("CHROMIUM", "chromium"))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    program = chromium()
    lane("browser", program, "there is no chromium on the PATH and CHROMIUM names none")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def stack(
    browser: Browser, project_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    """A stack for these tests; where there is no browser, none is started."""
    with stack_on_free_ports(project_root, tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def client(stack: RunningStack) -> Client:
    """With the key of the environment."""
    return Client(stack.address, stack.api_key)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile of its own for each test, wide and light unless the test says otherwise."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 860},
        color_scheme="light",
        locale="en-GB",
        accept_downloads=True,
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(_PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, stack: RunningStack) -> Iterator[WatchedPage]:
    """The page, before a key was given. What it complains about fails the test."""
    watched = watch(context.new_page(), stack.address, stack.api_key)
    yield watched
    watched.assert_no_complaints()
