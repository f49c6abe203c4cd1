"""The worker: the only code here that knows Whisper and media."""

import os

# From 1.29 on, onnxruntime (the voice detector's runtime) reports its use to its maker and keeps an
# identifier under the home directory, unless this is set before it is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
