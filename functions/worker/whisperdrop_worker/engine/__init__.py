"""The engine: samples in, transcript out. Everything about Whisper stays in this package.

blocks of samples → ``speech`` (voice detection) → ``windows`` (cut at silences) → ``scheduler``
(batches from many jobs) → ``recognizer`` (the model) → ``guard`` and ``attempts`` (what is wrong is
done again) → ``stitch`` (one transcript, in order)
"""

from whisperdrop_worker.engine.interface import (
    Checkpoints,
    Cut,
    Engine,
    EngineDefaults,
    EngineResult,
    OnProgress,
    Priority,
    Samples,
    SampleStream,
    Stretch,
    Survey,
)

__all__ = [
    "Checkpoints",
    "Cut",
    "Engine",
    "EngineDefaults",
    "EngineResult",
    "OnProgress",
    "Priority",
    "SampleStream",
    "Samples",
    "Stretch",
    "Survey",
]
