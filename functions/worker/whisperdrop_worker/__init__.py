"""The worker: the only code here that knows Whisper and media."""
