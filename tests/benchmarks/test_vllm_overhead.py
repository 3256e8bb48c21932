"""What our code may cost on top of vLLM: the published figures keep to it."""

import json

from dreamgym.config import ROOT


def test_the_published_figures_are_within_their_bounds() -> None:
    found = json.loads((ROOT / "assets/results/vllm-overhead.json").read_text(encoding="utf-8"))
    assert found["ratio"] >= 0.9, "tokens a second of the pipeline, against the raw engine"
    assert found["scripted_steps_per_second"] >= 2000
    assert found["malformed_rate_structured"] < found["malformed_rate"]
