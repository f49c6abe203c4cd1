"""A job's events while it is transcribed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client
from tests.recordings import english_recording

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

LONG_S = 60


def _events(client: Client, job_id: str, **headers: str) -> Iterator[tuple[str, int, Any]]:
    """Name, id and data of each event, as it comes."""
    with client.get(f"/v1/jobs/{job_id}/events", stream=True, headers=headers) as answer:
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "data" in fields:
                yield fields["event"], int(fields["id"]), json.loads(fields["data"])
                fields = {}


def test_segments_arrive_before_the_end_and_are_those_of_the_transcript(
    client: Client, tmp_path: Path
) -> None:
    job_id = client.submit(english_recording(tmp_path / "long.wav", LONG_S))
    events = _events(client, job_id)

    before: list[tuple[str, int, Any]] = []
    while not before or before[-1][0] != "segment":
        before.append(next(events))
    status = client.job(job_id)["status"]
    *rest, last = events

    told = before + rest
    segments = [data for name, _, data in told if name == "segment"]
    assert status == "running"
    assert segments == client.get(f"/v1/jobs/{job_id}/transcript").json()["segments"]
    assert (last[0], last[1], last[2]) == ("end", len(segments), client.job(job_id))
    assert told[0][0] == "job"

    resumed = list(_events(client, job_id, **{"Last-Event-ID": str(len(segments) - 1)}))
    assert [(name, number) for name, number, _ in resumed] == [
        ("segment", len(segments)),
        ("end", len(segments)),
    ]
    assert resumed[0][2] == segments[-1]
