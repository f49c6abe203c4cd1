"""The engine: samples in, transcript out. Everything about Whisper stays in this package.

blocks of samples → ``speech`` (voice detection) → ``chapters`` and ``windows`` (cut at silences) →
``scheduler`` (batches from many jobs) → ``recognizer`` (the model) → ``guard`` and ``attempts``
(what is wrong is done again) → ``stitch`` (one transcript, in order)
"""

from whisperdrop_worker.engine.interface import (
    Checkpoints,
    Engine,
    EngineDefaults,
    EngineResult,
    Grid,
    Heard,
    OnProgress,
    Priority,
    Samples,
    SampleStream,
    Stretch,
)

__all__ = [
    "Checkpoints",
    "Engine",
    "EngineDefaults",
    "EngineResult",
    "Grid",
    "Heard",
    "OnProgress",
    "Priority",
    "SampleStream",
    "Samples",
    "Stretch",
]
