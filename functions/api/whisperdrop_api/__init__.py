"""The API: authorise, presign, read results, render. Knows nothing of Whisper or media."""
