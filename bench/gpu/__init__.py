"""The comparison of speed and accuracy for a machine with an NVIDIA GPU and no network."""
