"""A client as a stranger would write it, on plain requests."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

TIMEOUT_S = 180.0


@dataclass
class Client:
    """Talks to one address with one key."""

    address: str
    key: str
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.headers["Authorization"] = f"Bearer {self.key}"

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self.session.get(self.address + path, timeout=TIMEOUT_S, **kwargs)

    def post(self, path: str, **kwargs: Any) -> requests.Response:
        return self.session.post(self.address + path, timeout=TIMEOUT_S, **kwargs)

    def create(self, media: Path, **fields: Any) -> dict[str, Any]:
        """Create a job for ``media``; the body of the answer."""
        body = {"filename": media.name, "size": media.stat().st_size, "upload": "put"} | fields
        response = self.post("/v1/jobs", json=body)
        assert response.status_code == 201, response.text
        created: dict[str, Any] = response.json()
        return created

    def put(self, created: dict[str, Any], media: Path) -> requests.Response:
        """Send the media as the job's upload says, with no key of ours."""
        upload = created["upload"]
        with media.open("rb") as file:
            return requests.put(
                upload["url"], data=file, headers=upload["headers"], timeout=TIMEOUT_S
            )

    def submit(self, media: Path, **fields: Any) -> str:
        """Create and upload; the job's id."""
        created = self.create(media, **fields)
        response = self.put(created, media)
        assert response.ok, response.text
        return str(created["job_id"])

    def job(self, job_id: str, wait: float = 0) -> dict[str, Any]:
        """The job as it is, or as it has ended."""
        response = self.get(f"/v1/jobs/{job_id}", params={"wait": wait})
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def ended(self, job_id: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """The job when it has ended."""
        deadline = time.monotonic() + timeout_s
        while True:
            job = self.job(job_id, wait=10)
            if job["status"] not in {"awaiting_upload", "queued", "running"}:
                return job
            assert time.monotonic() < deadline, f"still {job}"

    def running(self, job_id: str, timeout_s: float = 60) -> dict[str, Any]:
        """The job as soon as a worker has it."""
        deadline = time.monotonic() + timeout_s
        while (job := self.job(job_id))["status"] != "running":
            assert time.monotonic() < deadline, f"still {job}"
        return job

    def transcribing(self, job_id: str, timeout_s: float = 60) -> dict[str, Any]:
        """The job in the middle of its work: a part of its audio is done."""
        deadline = time.monotonic() + timeout_s
        while True:
            job = self.job(job_id)
            progress = job.get("progress") or {"stage": None}
            if progress["stage"] == "transcribing" and progress["done_s"] > 0:
                return job
            assert job["status"] in {"queued", "running"}, f"already {job}"
            assert time.monotonic() < deadline, f"still {job}"

    def text(self, job_id: str) -> str:
        """The transcript as plain text."""
        response = self.get(f"/v1/jobs/{job_id}/transcript", params={"format": "txt"})
        assert response.status_code == 200, response.text
        return response.text.strip()

    def transcribe(self, media: Path, model: str = "tiny.en", **fields: str) -> requests.Response:
        """The synchronous route."""
        with media.open("rb") as file:
            return self.post(
                f"/transcribe/{model}", files={"file": (media.name, file)}, data=fields
            )
