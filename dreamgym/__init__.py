"""DreamGym Lab: train language-model agents in imagined experience, and see how it happens."""

__version__ = "0.1.0"
