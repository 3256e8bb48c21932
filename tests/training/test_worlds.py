"""Which models a run opens."""

from pathlib import Path

from dreamgym.runs.config import TrainConfig, override
from dreamgym.training.worlds import Worlds


def test_another_model_than_the_dreamer_can_write_variations(tmp_path: Path, tiny_model: Path) -> None:
    config = override(TrainConfig(), [f"curriculum.generator={tiny_model}"])
    worlds = Worlds(config, tmp_path / "runs" / "a")
    engine = worlds.variation_engine()
    assert engine.name.startswith("tiny@") and worlds.variation_engine() is engine
    assert worlds.model_name.startswith("nano-experience-model@"), "dreams stay what they were"
