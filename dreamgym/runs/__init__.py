"""Training runs: each a folder and a process of its own; without torch, so that the lab can read them."""
