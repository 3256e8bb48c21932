"""The model's process is killed while a step streams into the Dream tab."""

import os
import signal
from pathlib import Path

from dreamgym.engines.model_folder import experience_model_of
from dreamgym.engines.worker import WorkerEngine
from dreamgym.experience_model.model import ExperienceModel
from tests.browser.conftest import open_services, serving
from tests.lab.visitor import Visitor


def test_a_killed_model_costs_the_step_that_it_wrote_and_nothing_else(tmp_path: Path) -> None:
    engine = WorkerEngine(experience_model_of("alfworld"), device="cpu", num_threads=1)
    frames, killed = [0], []

    def kill(kind: str) -> None:
        frames[0] += kind == "process_generating"
        if frames[0] == 2 and not killed:  # the first says that it begins, the second has text
            killed.append(engine.pid)
            os.kill(engine.pid or 0, signal.SIGKILL)

    with serving(open_services(tmp_path / "demo", model=ExperienceModel(engine), engine=engine)) as url:
        visitor = Visitor(url)
        choose = next(each for each, targets in visitor.handlers() if ("dg-action-chips", "choose") in targets)

        def actions() -> list[str]:
            shown = visitor.send("dg-dream-steps", "look", step=99, branch="")["dg-dream-steps"]
            return [row["action"] for row in shown["rows"][1:]]

        visitor.send("dg-links", "go", {"dg-links": "?tab=dream"})
        assert visitor.call(choose, {"action": "go to fridge 1"})["said"] == []
        assert actions() == ["go to fridge 1"]
        visitor.meanwhile = kill
        (said,) = visitor.call(choose, {"action": "open fridge 1"})["said"]
        assert killed and "killed by signal 9" in said and "it is started again, repeat the step" in said
        assert actions() == ["go to fridge 1"], "what was dreamed before is kept"
        assert visitor.call(choose, {"action": "open fridge 1"})["said"] == []
        assert actions() == ["go to fridge 1", "open fridge 1"] and engine.pid not in (None, *killed)
    engine.close()
