"""What the OpenAPI document shows of bodies that more than one of them is made of."""

from typing import Any

from pydantic import ConfigDict

JOB_ID = "zd37mn5sqxizuhhygj9taqzoi"
LINKS = {
    "self": f"/v1/jobs/{JOB_ID}",
    "transcript": f"/v1/jobs/{JOB_ID}/transcript",
    "events": f"/v1/jobs/{JOB_ID}/events",
}
JOB: dict[str, Any] = {
    "job_id": JOB_ID,
    "status": "running",
    "model": "tiny.en",
    "name": "meeting.mp3",
    "created_at": "2030-01-01T12:00:00Z",
    "started_at": "2030-01-01T12:00:04Z",
    "attempt": 1,
    "progress": {
        "stage": "transcribing",
        "percent": 41.7,
        "done_s": 250.2,
        "total_s": 600.0,
        "eta_s": 11.5,
    },
    "metadata": {"case": "42"},
    "links": LINKS,
}
MODEL = {
    "id": "tiny.en",
    "object": "model",
    "created": 1893499200,
    "owned_by": "whisperdrop",
    "shutdown_date": None,
}
UPLOAD_URL = f"https://bucket.s3.amazonaws.com/uploads/acme/{JOB_ID}"

CREATED: dict[str, Any] = {
    "job_id": JOB_ID,
    "status": "awaiting_upload",
    "model": "tiny.en",
    "created_at": "2030-01-01T12:00:00Z",
    "deduplicated": False,
    "upload": {
        "method": "PUT",
        "url": f"{UPLOAD_URL}/meeting.mp3?X-Amz-Signature=…",
        "headers": {
            "Content-Type": "audio/mpeg",
            "Content-Length": "1048576",
            "If-None-Match": "*",
            "x-amz-meta-correlation-id": "9f1c2d7ab4e84f0f9d0f6a4c1b7e3d52",
        },
        "fields": {},
        "expires_at": "2030-01-01T13:00:00Z",
        "part_size": None,
        "parts": None,
    },
    "links": LINKS,
}


def shown(*examples: dict[str, Any]) -> ConfigDict:
    """What the OpenAPI document shows of a body."""
    return ConfigDict(json_schema_extra={"examples": list(examples)})
