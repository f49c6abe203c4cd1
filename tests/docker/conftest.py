"""Fixtures of the tests that need a Docker Engine."""

from dataclasses import dataclass

import pytest

from tests.standins import base_image, build_image, docker_engine


@dataclass(frozen=True)
class Images:
    """Names of the images that the whole session shares."""

    base: str
    api: str
    worker: str
    """Target ``cpu``, with the weights of tiny.en in it."""


@pytest.fixture(scope="session")
def built_images() -> Images:
    """The API's image and the worker's, built once; the engine's cache makes a second build short.

    Their tags are the tests' own: images that somebody built for use stay what they are.
    """
    docker_engine()
    base = base_image()
    return Images(
        base,
        build_image("whisperdrop-api:tests", "api.Dockerfile", BASE_IMAGE=base),
        build_image(
            "whisperdrop-worker:tests",
            "worker.Dockerfile",
            target="cpu",
            BASE_IMAGE=base,
            WITH_WEIGHTS="1",
        ),
    )
