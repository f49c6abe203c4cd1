"""The embedded stack: the whole service on one machine, with an emulator in place of AWS."""
