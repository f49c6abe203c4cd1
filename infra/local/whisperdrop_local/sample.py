"""The bundled sample: labelled speech of the pytest-audioeval package, sent as a stranger would."""

import importlib.util
import re
import time
from dataclasses import dataclass
from pathlib import Path

import requests

NAME = "quick_brown_fox"
_TIMEOUT_S = 120
_PATIENCE_S = 1800  # behind jobs that a crash left in the queue


class SampleError(Exception):
    """The sample is not installed, or the service did not transcribe it."""


@dataclass(frozen=True)
class Sample:
    """A recording and what is said in it."""

    media: Path
    text: str


def bundled(name: str = NAME, language: str = "en") -> Sample:
    """A recording of the package; it is found without importing the package's plugin."""
    spec = importlib.util.find_spec("pytest_audioeval")
    if spec is None or not spec.submodule_search_locations:
        raise SampleError("the sample recordings are not installed; run 'make setup'")
    folder = Path(spec.submodule_search_locations[0]) / "samples" / "audio" / language
    return Sample(folder / f"{name}.wav", (folder / f"{name}.txt").read_text().strip())


def transcribe(address: str, api_key: str, sample: Sample) -> str:
    """The sample's transcript by the presigned route. Raises SampleError."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {api_key}"
        body = {"filename": sample.media.name, "size": sample.media.stat().st_size}
        created = _ok(session.post(f"{address}/v1/jobs", json=body, timeout=_TIMEOUT_S)).json()
        upload = created["upload"]
        with sample.media.open("rb") as media:
            # Not with the session: the key is for the API, not for the storage.
            _ok(
                requests.put(
                    upload["url"], data=media, headers=upload["headers"], timeout=_TIMEOUT_S
                )
            )
        job = address + created["links"]["self"]
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            ended = _ok(session.get(f"{job}?wait=60", timeout=_TIMEOUT_S)).json()
            if ended["status"] not in {"queued", "running"} or time.monotonic() > deadline:
                break
        if ended["status"] != "succeeded":
            raise SampleError(f"the sample's job is {ended['status']}: {ended.get('error')}")
        return _ok(session.get(f"{job}/transcript?format=txt", timeout=_TIMEOUT_S)).text.strip()


def same_words(one: str, other: str) -> bool:
    """Whether two texts say the same, whatever their case and punctuation."""
    return re.findall(r"\w+", one.lower()) == re.findall(r"\w+", other.lower())


def _ok(response: requests.Response) -> requests.Response:
    if not response.ok:
        raise SampleError(f"{response.url} answered {response.status_code}: {response.text[:500]}")
    return response
