from pathlib import Path

from dreamgym.environments import alfworld
from dreamgym.experience_model.baselines import NearestTransition, PlainRules
from dreamgym.experience_model.fidelity import score_steps, summarize
from dreamgym.experience_model.model import MalformedPrediction, Prediction, Query, Switches
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Demonstration, Retriever
from tests.experience_model.kitchen import FIRST, kitchen_episodes, make_task, solved

EPISODE = solved()
LAST = EPISODE.transitions[-1]


def test_the_nearest_transition_is_copied_word_for_word() -> None:
    near = (Demonstration("tr-1.7", "real", "task", LAST, 0.8), Demonstration("tr-1.1", "real", "task", LAST, 0.7))
    answer, none = NearestTransition().predict([Query(make_task(), (), FIRST, "look", near), query("look")])
    assert isinstance(answer, Prediction)
    assert (answer.next_state, answer.reward, answer.done, answer.success) == (LAST.next_state, 1.0, True, True)
    assert answer.confidence == 0.8 and answer.reasoning is None
    assert isinstance(none, MalformedPrediction) and none.reason == "no transition was retrieved to copy"


def query(action: str) -> Query:
    return Query(make_task(), (), FIRST, action)


def test_copying_gets_right_what_has_no_names_of_its_own(alfworld_games: Path, tmp_path: Path) -> None:
    """Other kitchens hold a potato 2: only their arrival in an empty-handed or unnamed state could be the same."""
    with ReplayBuffer(tmp_path / "experience.sqlite", HashedNgrams()) as buffer:
        for trajectory in kitchen_episodes(4)[1:]:
            buffer.add(trajectory)
    retriever = Retriever([tmp_path / "experience.sqlite"], HashedNgrams())
    scored = score_steps(NearestTransition(), [EPISODE], retriever, Switches(k=1))
    assert [step.exact for step in scored] == [False] * 7
    assert scored[-1].dreamed_success, "the nearest of the last step is another kitchen's last step"


def test_rules_know_what_follows_and_guess_the_most_frequent_form(alfworld_games: Path) -> None:
    taught = PlainRules(alfworld.rule_guess(kitchen_episodes(4)[1:]))
    scored = score_steps(taught, [EPISODE], None, Switches())
    # the microwave is closed and the sink empty, as in all kitchens; what lies on the counter no rule can know
    assert [step.exact for step in scored] == [False, True, True, True, True, True, True]
    assert summarize(scored)["determined_exact"] == summarize(scored)["success_recall"] == 1.0


def test_rules_that_were_taught_nothing_refuse_what_they_do_not_know(alfworld_games: Path) -> None:
    scored = score_steps(PlainRules(alfworld.rule_guess([])), [EPISODE], None, Switches())
    assert [step.exact for step in scored] == [False, True, True, False, True, False, True]
    assert [step.dreamed_refused for step in scored] == [True, True, False, True, False, True, False]


def test_rules_that_cannot_read_the_state_do_not_answer() -> None:
    answer = PlainRules(alfworld.rule_guess([])).predict([Query(make_task(), (), "A dark room.", "look")])[0]
    assert isinstance(answer, MalformedPrediction)
