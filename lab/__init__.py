"""DreamGym Lab: a Gradio app over `dreamgym`; nothing in it is imported by `dreamgym`."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported, which comes after this
