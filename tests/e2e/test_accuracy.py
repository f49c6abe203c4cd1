"""The service loses nothing: its texts are as right as those of faster-whisper itself."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jiwer
import pytest
from faster_whisper import WhisperModel
from whisper_normalizer.english import EnglishTextNormalizer

from tests.e2e.client import Client
from tests.recordings import Recording, manifest
from whisperdrop_worker.models import ModelResolver
from whisperdrop_worker.settings import WorkerSettings

pytestmark = [pytest.mark.emulator, pytest.mark.shared, pytest.mark.speech]

CLIPS = 53
LONGEST_S = 25.0
IN_FLIGHT = 4
MARGIN = 0.002
"""How much worse than faster-whisper's own error rate is still as good: two words in a thousand."""

_normal = EnglishTextNormalizer()


@pytest.fixture(scope="module")
def clips(project_root: Path) -> list[Recording]:
    """Every LibriSpeech recording under 25 s: 53, 401 s in all, nearly all of test-other."""
    found = [
        one
        for one in manifest(project_root)
        if "librispeech" in one.tags and one.duration_s < LONGEST_S
    ]
    assert len(found) == CLIPS
    return found


@pytest.fixture(scope="module")
def direct(clips: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Texts of faster-whisper's own `transcribe`, with the worker's options."""
    worker = WorkerSettings(bucket="none", interactive_queue_url="none", bulk_queue_url="none")
    weights = ModelResolver(cache_dir=tmp_path_factory.mktemp("models")).resolve("tiny.en")
    model = WhisperModel(
        str(weights),
        device="cpu",
        compute_type="int8",
        cpu_threads=worker.cpu_threads,
        num_workers=worker.model_calls,
    )

    def transcribe(clip: Recording) -> str:
        segments, _ = model.transcribe(str(clip.path), language="en", beam_size=5, vad_filter=True)
        return "".join(segment.text for segment in segments).strip()

    return _in_parallel(transcribe, clips)


def test_presigned_uploads_are_transcribed_as_well_as_faster_whisper_does_it(
    clips: list[Recording], direct: list[str], client: Client
) -> None:
    def transcribe(clip: Recording) -> str:
        job_id = client.submit(clip.path)
        assert client.ended(job_id)["status"] == "succeeded"
        return str(client.get(f"/v1/jobs/{job_id}/transcript").json()["text"])

    served = _in_parallel(transcribe, clips)

    _nothing_is_lost(clips, direct, served, "presigned")


def test_files_sent_to_the_synchronous_route_are_too(
    clips: list[Recording], direct: list[str], client: Client
) -> None:
    def transcribe(clip: Recording) -> str:
        answer = client.transcribe(clip.path)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["text"])

    served = _in_parallel(transcribe, clips)

    _nothing_is_lost(clips, direct, served, "synchronous")


def _in_parallel(transcribe: Callable[[Recording], str], clips: list[Recording]) -> list[str]:
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        return list(pool.map(transcribe, clips))


def _nothing_is_lost(
    clips: list[Recording], direct: list[str], served: list[str], route: str
) -> None:
    said = [_normal(clip.text or "") for clip in clips]
    wers = [jiwer.wer(said, [_normal(text) for text in texts]) for texts in (direct, served)]
    print(f"\n{route}: WER {wers[1]:.2%}, faster-whisper itself {wers[0]:.2%}")
    different = {
        clip.path.name: (one, other)
        for clip, one, other in zip(clips, direct, served, strict=True)
        if one != other
    }
    assert wers[1] <= wers[0] + MARGIN, different
    assert 0.05 < wers[1] < 0.2, "tiny.en has 15 % on these"
