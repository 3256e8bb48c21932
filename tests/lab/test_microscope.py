"""The microscope of Inspect: the step it dreams, with what, what it shows of that, and what it remembers."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from dreamgym.engines.model_folder import model_name
from dreamgym.errors import EngineError
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.microscope import Influence, Outcome
from dreamgym.replay_buffer.corrections import Corrected, Corrections
from dreamgym.types import Failure, Neighbour, Transition, transition_id
from lab.context import Context
from lab.microscope_page import DRAWN_AT, Microscope
from lab.navigation import Selection, parse, to_query
from lab.second_models import READ_ONLY, SecondModels
from lab.services import EnvironmentServices, Services
from lab.tabs.inspect_microscope import Looking, side
from lab.viewmodels.microscope import Seen, again_view, causes_view, scope_view, subject_of, verdict
from tests.browser.conftest import open_services
from tests.engines.endpoint import Endpoint, serve
from tests.lab.dreamed_world import SlowEngine, reply
from tests.lab.experience import dream_malformed, dream_with_neighbours, real_success
from tests.lab.test_second_models import folder

REAL = real_success()
DREAM = dream_with_neighbours(REAL)
MALFORMED = dream_malformed()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    return open_services(tmp_path_factory.mktemp("lab") / "demo", model=ExperienceModel(SlowEngine(0.0)))


@pytest.fixture
def page(services: Services) -> Microscope:
    return Microscope(services)


def at(trajectory_id: str, step: int, look: str = "again", switches: str = "", **more: Any) -> Selection:
    return Selection("inspect", trajectory_id, step, look=look, switches=switches, **more)


def test_a_link_names_the_look_and_another_step_ends_it() -> None:
    selection = parse(f"?tab=inspect&t={DREAM.trajectory_id}.4&look=luck&set=no-history&by-model=vllm-2")
    assert (selection.look, selection.switches, selection.dreamer) == ("luck", "no-history", "vllm-2")
    assert parse(to_query(selection)) == selection
    assert parse("?tab=inspect&look=magic&by-model=../x") == Selection("inspect")
    assert "look" not in to_query(replace(selection, tab="compare"))


def test_a_step_is_dreamed_again_with_what_it_was_dreamed_with(page: Microscope) -> None:
    subject = page.subject(at(DREAM.trajectory_id, 4))
    assert subject is not None and subject.history == DREAM.transitions[:3]
    assert page.switches(at(DREAM.trajectory_id, 4), subject) == Switches(k=2)
    seen = page.look(at(DREAM.trajectory_id, 4, switches="k1"))
    assert [one.transition_id for one in seen.demonstrations] == [transition_id(REAL.trajectory_id, 4)], (
        "the stored neighbour, though it is of the same task"
    )
    fresh = page.look(at(DREAM.trajectory_id, 4)).demonstrations
    assert fresh and all(not one.transition_id.startswith(REAL.trajectory_id) for one in fresh), (
        "one of the stored ones is gone, so both are looked up anew"
    )
    assert not page.look(at(DREAM.trajectory_id, 4, switches="no-retrieval")).demonstrations


def test_a_barred_step_is_not_put_back_into_the_prompt(tmp_path: Path) -> None:
    services = open_services(tmp_path / "demo", model=ExperienceModel(SlowEngine(0.0)))
    right = replace(REAL.transitions[3], next_state="The microwave is broken.")
    one = Corrected(transition_id(REAL.trajectory_id, 4), "real", REAL.task, right)
    retriever = services.of("alfworld").retriever
    assert retriever is not None
    retriever.correct(Corrections(frozenset({one.transition_id}), (one,)))
    seen = Microscope(services).look(at(DREAM.trajectory_id, 4, "out", "k1"))
    assert [each.transition for each in seen.demonstrations] == [right]
    (row,) = causes_view({}, seen)["neighbours"]["rows"]
    assert row["corrected"] and row["next_state"] == right.next_state


def test_settings_that_a_record_tells() -> None:
    step = DREAM.transitions[0]
    told = {
        "plain": (replace(step, neighbours=()), Switches(retrieval=False)),
        "one": (replace(step, neighbours=(Neighbour("tr-000000000000.1", 0.5),)), Switches(k=1)),
        "silent": (replace(step, reasoning=None), Switches(reasoning=False)),
        "refused": (replace(step, contradiction="no"), Switches(guard=True)),
    }
    for name, (first, switches) in told.items():
        subject = subject_of(replace(DREAM, transitions=(first,)), 1)
        assert subject is not None and subject.base == switches, name
    real, failed = subject_of(REAL, 2), subject_of(MALFORMED, 3)
    assert real is not None and real.base == Switches()
    assert failed is not None and failed.base == Switches() and failed.action == "go to microwave 1"
    assert failed.state == MALFORMED.transitions[-1].next_state
    assert subject_of(replace(MALFORMED, failure=Failure(None, "no action")), 3) is None


def test_what_was_seen_is_not_dreamed_again(services: Services, page: Microscope) -> None:
    engine = services.of("alfworld").model.engine  # type: ignore[union-attr]
    assert isinstance(engine, SlowEngine)
    asked = at(REAL.trajectory_id, 1, switches="k0")
    assert page.known(asked) is None
    seen, num_steps = page.look(asked), engine.num_steps
    assert page.look(asked) is page.known(asked) is seen and engine.num_steps == num_steps
    assert page.known(replace(asked, look="")) is None and page.known(replace(asked, switches="k1")) is None


def test_a_second_dream_stands_beside_the_first(page: Microscope) -> None:
    asked = at(REAL.trajectory_id, 1)
    subject, seen = page.subject(asked), page.look(asked)
    value = again_view(subject, "again", seen, Switches(), "scripted")
    assert value["phase"] == "done" and not value["agrees"] and value["first_world"] == "real"
    assert value["verdict"] == "2 facts differ from the real step."
    assert [text for op, text in value["first"]["segments"] if op == "delete"] == ["lettuce 1, potato 2"]
    assert [text for op, text in value["second"]["segments"] if op == "insert"] == ["nothing"]
    assert "reward 0" in value["second"]["figures"] and value["settings"] == "scripted, greedy, 2 neighbours"
    assert again_view(subject, "again", None, Switches(), "scripted")["phase"] == "running"
    assert again_view(subject, "luck", seen, Switches(), "scripted") == {"phase": "none"}
    assert again_view(None, "again", None, None, "") == {"phase": "none"}


def test_the_verdict_in_a_sentence() -> None:
    subject = subject_of(DREAM, 4)
    assert subject is not None
    first = DREAM.transitions[3]
    lost = Failure("x", "no end")
    said = {
        "Agrees with the first in all facts, reward and end.": (first, first),
        "The reward is 1, not 0.": (first, replace(first, reward=1.0)),
        "It ends the episode.": (first, replace(first, terminated=True)),
        "2 facts differ from the first; the reward is 1, not 0.": (
            first,
            replace(first, reward=1.0, next_state=first.next_state.replace("nothing", "potato 2 (hot)", 1)),
        ),
        "It cannot be read, where the first could be.": (first, lost),
        "It cannot be read, too.": (lost, lost),
        "It can be read, where the first could not.": (lost, first),
    }
    assert [verdict(subject, *pair) for pair in said.values()] == list(said)


def test_demonstrations_are_left_out_and_the_causes_flagged(page: Microscope) -> None:
    asked = at(DREAM.trajectory_id, 1, look="out", switches="k1")
    seen = page.look(asked)
    assert len(seen.influences) == 1 and not seen.influences[0].matters
    shown = causes_view({"neighbours": {}, "source": []}, seen)["neighbours"]
    assert shown["rows"][0]["cause"] == {"text": "no change", "flag": False}
    changed = Influence(seen.demonstrations[0].transition_id, DREAM.transitions[3], None, True)
    (row,) = causes_view({}, replace(seen, influences=(changed,)))["neighbours"]["rows"]
    assert row["cause"] == {"text": "cause, other outcome", "flag": True}
    scope = scope_view(page.subject(asked), "out", seen, Switches(), None)
    assert scope["verdict"].startswith("0 of 1 demonstration change ")
    refused = page.look(at(DREAM.trajectory_id, 1, look="out", switches="k0"))
    assert "raise k" in refused.error and causes_view({"a": 1}, refused) == {"a": 1}


def test_luck_says_what_differs_and_how_often(page: Microscope) -> None:
    asked = at(REAL.trajectory_id, 1, look="luck")
    subject, seen = page.subject(asked), page.look(asked)
    assert subject is not None and page.switches(asked, subject).temperature == DRAWN_AT
    assert sum(one.count for one in seen.outcomes) == 20
    assert sum(one.count for one in page.look(replace(asked, num_draws=7)).outcomes) == 7
    first = REAL.transitions[0]
    empty = replace(first, next_state=first.next_state.replace("lettuce 1, potato 2", "nothing"), reward=1.0)
    outcomes = (Outcome(first, 12), Outcome(empty, 7), Outcome(Failure("x", "no end"), 1))
    value = scope_view(subject, "luck", Seen(outcomes=outcomes), Switches(temperature=0.7), None)["luck"]
    assert value["note"] == "20 dreams at temperature 0.7"
    assert [row["label"] for row in value["rows"]] == [
        "here: lettuce 1, potato 2",
        "here: nothing, reward 1",
        "a reply that cannot be read",
    ]
    assert [row["is_first"] for row in value["rows"]] == [True, False, False]
    assert [row["percent"] for row in value["rows"]] == [60, 35, 5]
    assert value["rows"][0]["chips"] == [] and {kind for kind, _ in value["rows"][1]["chips"]} == {"lost"}


def test_what_cannot_be_dreamed_says_why(services: Services, page: Microscope, tmp_path: Path) -> None:
    assert page.look(at("tr-000000000000", 1)).error == "This step has no action to dream."
    gone = at(DREAM.trajectory_id, 1, dreamer="vllm-7")
    assert "There is no model 'vllm-7' here" in page.look(gone).error
    bare = Microscope(replace(services, environments={"alfworld": EnvironmentServices()}))
    assert "make nano" in bare.look(at(DREAM.trajectory_id, 1)).error
    subject = bare.subject(at(DREAM.trajectory_id, 1))
    assert subject is not None and bare.models(subject)[0] == ("no model", "")
    scope = scope_view(subject, "", None, Switches(), bare.refusal(at(DREAM.trajectory_id, 1), subject))
    assert scope["phase"] == "idle" and "make nano" in scope["refused"]


def test_another_model_dreams_the_step_and_has_its_own_looks(services: Services, tmp_path: Path) -> None:
    folder(tmp_path / "models" / "repaired")
    with serve(Endpoint(lambda _: reply("No.", "Nothing happens."))) as server:
        found = SecondModels(tmp_path / "models", [f"{server.url}#small"], read_only=True)
        page = Microscope(replace(services, second_models=found))
        asked = at(REAL.trajectory_id, 1, switches="k0", dreamer="small")
        subject = page.subject(asked)
        assert subject is not None
        assert {("small", "small"), ("repaired", "repaired")} <= set(page.models(subject))
        own, other = page.look(replace(asked, dreamer="")), page.look(asked)
        assert isinstance(other.answer, Transition) and other.answer.next_state == "Nothing happens."
        assert page.look(asked) is other and page.look(replace(asked, dreamer="")) is own is not other
        assert page.model_name(asked, subject).startswith("small@127.0.0.1")
        repaired = replace(asked, dreamer="repaired")
        assert page.refusal(repaired, subject) == page.look(repaired).error == READ_ONLY
        assert page.model_name(repaired, subject) == model_name(tmp_path / "models" / "repaired")


def test_a_model_that_dies_is_said_and_asked_again(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Microscope(services)
    model = services.of("alfworld").model
    assert model is not None

    def dies(*_: object) -> None:
        raise EngineError("the model's process ended")

    with monkeypatch.context() as patch:
        patch.setattr(ExperienceModel, "predict", dies)
        assert page.look(at(REAL.trajectory_id, 2, switches="k0")).error == "the model's process ended"
    asked = at(REAL.trajectory_id, 2, switches="k0")
    assert page.look(asked).error, "a page that is drawn anew does not ask a dead server again"
    assert page.once_more(asked) == asked
    assert isinstance(page.look(asked).answer, Transition)
    seen = page.known(asked)
    assert page.once_more(asked) == asked and page.known(asked) is seen, "what could be dreamed stays"


def test_who_asks_once_more_has_other_luck_and_the_link_says_which(page: Microscope) -> None:
    asked = at(REAL.trajectory_id, 4, switches="k0,t1")
    assert page.once_more(asked) == asked, "nobody has looked"
    page.look(asked)
    again = page.once_more(asked)
    assert again.switches == "k0,t1,s1" and page.known(again) is None
    assert page.look(again) is page.look(parse(to_query(again))), "a link repeats what it shows"
    assert page.once_more(again).switches == "k0,t1,s2"
    lucky, out = at(REAL.trajectory_id, 4, "luck", "k0"), at(REAL.trajectory_id, 4, "out", "k1,t1")
    assert page.look(lucky) and page.look(out).influences
    assert page.once_more(lucky).switches == "k0,s1" and page.once_more(out) == out, "which is greedy"


def test_other_controls_keep_the_seed_and_luck_is_drawn_as_often_as_is_typed(services: Services) -> None:
    asked = at(REAL.trajectory_id, 5, switches="t1,s5")
    with gr.Blocks() as blocks:
        looking = Looking(Context(services, gr.State(asked), gr.HTML()), side(gr.HTML()), gr.HTML())
        looking.wire(lambda _: {"neighbours": {}})
    handlers: dict[str, Any] = {each.fn.__name__: each.fn for each in blocks.fns.values() if each.fn is not None}
    changed, address, *_ = handlers["change"](asked, "", 20, False, True, True, False, 2, 0.7)
    assert changed.switches == "no-history,t0.7,s5" and "s5" in address
    for typed, num_draws in ((50, 50), (1, 5), (None, 5), (1000, 100)):
        changed, address, _, _, scope, *_ = handlers["recount"](asked, "", typed, True, True, True, False, 2, 1.0)
        assert changed.num_draws == scope["num_draws"] == parse(address).num_draws == num_draws
    waits, *_ = handlers["recount"](replace(asked, look="luck"), "", 10, True, True, True, False, 2, 1.0)
    assert waits.look == "", "nothing is dreamed for a number that is being typed"
    assert parse("?tab=inspect&draws=4") == parse("?tab=inspect&draws=101") == parse("?tab=inspect&draws=x")


def test_two_pages_that_ask_at_once_wait_for_one_dream(services: Services) -> None:
    engine = SlowEngine(0.01)
    page = Microscope(replace(services, environments={"alfworld": EnvironmentServices(model=ExperienceModel(engine))}))
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(page.look, [at(REAL.trajectory_id, 3, switches="k0")] * 3))
    assert found[0] is found[1] is found[2] and engine.num_steps == 1


def test_lucks_temperature_is_not_that_of_the_next_dream(page: Microscope) -> None:
    asked = at(REAL.trajectory_id, 1, look="luck")
    subject = page.subject(asked)
    assert subject is not None and page.settings(asked, subject).temperature == 0.0
    assert page.switches(asked, subject).temperature == DRAWN_AT
    assert page.switches(replace(asked, switches="t0.3"), subject).temperature == 0.3


def test_what_was_dreamed_is_drawn_at_the_step_that_is_selected_then(services: Services) -> None:
    asked, elsewhere = at(REAL.trajectory_id, 1), Selection("inspect", REAL.trajectory_id, 2)
    with gr.Blocks() as blocks:
        context = Context(services, gr.State(asked), gr.HTML())
        looking = Looking(context, side(gr.HTML()), gr.HTML())
        looking.wire(lambda _: {"neighbours": {}})
    handlers: dict[str, Any] = {each.fn.__name__: each.fn for each in blocks.fns.values() if each.fn is not None}
    assert handlers["follow"](asked, "1") is None
    assert handlers["draw"](asked)[0]["phase"] == "done"
    assert all(value == gr.skip() for value in handlers["draw"](elsewhere)), "nothing of another step is drawn here"
