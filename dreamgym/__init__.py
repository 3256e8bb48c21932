"""DreamGym Lab: train language-model agents in imagined experience, and see how it happens."""

import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # TRL tells of every trainer; read when it is imported, later

__version__ = "0.1.0"
