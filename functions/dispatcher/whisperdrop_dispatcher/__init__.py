"""The dispatcher: starts workers when something waits, sweeps, and has the operator's verbs."""
