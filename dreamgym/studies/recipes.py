"""How long the bundled models are trained, on what, and from which weights: the settings of `make nano`."""

from collections.abc import Mapping
from dataclasses import dataclass

from dreamgym.experience_model import nano
from dreamgym.experience_model.train import FitSettings
from dreamgym.studies.mixes import MIXES, Mix

EXPERIENCE_MODEL, POLICY, NOVICE = "nano-experience-model", "nano-policy", "nano-novice"
"""Of ALFWorld; behind those of other worlds stands the world's name."""


@dataclass(frozen=True, slots=True)
class NanoRecipe:
    """Sizes of the run."""

    environment: str = "alfworld"
    num_tasks: int = 720
    """Train tasks."""
    mix: Mix | None = None
    """Each of these policies plays each of them; None: as MIXES has it."""
    num_passes: int = 2
    """Passes over the episodes, each with its own wording, demonstrations and dropped reasoning."""
    num_alone: int = 8
    """Single steps from each episode, for the third stage."""
    num_variations: int = 2
    """Other goals of each train task's world; each pair of a world's tasks is a row of the third stage."""
    variations_share: float = 0.05
    """Rows of the last stage that are variations, as a share of the others."""
    shape: nano.NanoShape = nano.NanoShape()
    begins_as: str | None = None
    """Bundled experience model of another world whose blocks it begins with; None: untrained."""
    pairs: FitSettings = FitSettings(steps=200, batch_size=32, learning_rate=4e-3, max_length=256)
    """Comparing two names, or repeating words, and nothing else, until it can do that."""
    drills: FitSettings = FitSettings(steps=600, batch_size=32, learning_rate=4e-3, max_length=256)
    """Then finding and copying them as well."""
    drills_share: float = 0.1
    """Rows of the next stages that are drills still, as a share of the others: in episodes "made anything" is right of
    nearly every thing that was not changed, and without drills nano forgets to look at the goal."""
    single_steps: FitSettings = FitSettings(steps=1600, batch_size=32, learning_rate=4e-3, max_length=512)
    """Short rows first: copying names and matching them is learned in a tenth of the time that episodes take."""
    episodes: FitSettings = FitSettings(steps=1000, batch_size=8, learning_rate=2e-3, max_length=2048)
    policy: FitSettings = FitSettings(steps=450, batch_size=8, learning_rate=1e-3, max_length=2048)
    novice: FitSettings = FitSettings(steps=100, batch_size=8, learning_rate=3e-4, max_length=2048)
    """Short, as it only gets the clumsy expert's habits: the policy is almost deterministic, and RL has little to
    choose from among its rollouts."""
    num_test_tasks: int = 120
    """Test tasks that the policies play."""
    num_recorded_tasks: int | None = None
    """Test tasks whose recorded episodes the experience model is measured on; None: all."""
    seed: int = 0

    @property
    def players(self) -> Mix:
        """Who plays the train tasks."""
        return MIXES[self.environment] if self.mix is None else self.mix

    def named(self, model: str) -> str:
        """Name of one of the three models, for the recipe's environment."""
        return model if self.environment == "alfworld" else f"{model}-{self.environment}"


RECIPES: Mapping[str, NanoRecipe] = {
    "alfworld": NanoRecipe(),
    "webshop": NanoRecipe(
        "webshop",
        begins_as=EXPERIENCE_MODEL,
        pairs=FitSettings(steps=300, batch_size=32, learning_rate=4e-3, max_length=256),
        drills=FitSettings(steps=400, batch_size=32, learning_rate=4e-3, max_length=256),
        single_steps=FitSettings(steps=1000, batch_size=32, learning_rate=4e-3, max_length=512),
        episodes=FitSettings(steps=400, batch_size=8, learning_rate=2e-3, max_length=2048),
    ),
}
"""Environment -> how its bundled models are made. A shop's pages are copied line by line, which untrained blocks had
not learned of as many steps."""
