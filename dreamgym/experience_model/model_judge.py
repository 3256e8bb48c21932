"""A language model as judge: the paper's four axes, without a reference as in the paper, or with the real outcome.

The prompt is pinned by its version and kept with each verdict. A reply that cannot be read is asked for again, and then
stands as a verdict without ratings, with the reason.

Source: DreamGym, arXiv:2511.03773, appendix C.4: state before, action, predicted state; scores 0, 1 and 2. The wording
is ours, as the task, the history and the reward that we show are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from dreamgym.environments.judgement import reward_text
from dreamgym.errors import ConfigError
from dreamgym.experience_model.asking import NOT_JSON, OPENING, STOP, Asker, Estimate, ReplyCache, read_json
from dreamgym.experience_model.axes import AXES, RATINGS, Axis
from dreamgym.experience_model.chat_prompts import Render, chat_template
from dreamgym.experience_model.judge import Case, Verdict
from dreamgym.experience_model.prompts import neutral
from dreamgym.interfaces import Engine
from dreamgym.types import Transition

PROMPT_VERSION = "judge-1"
"""Of the prompts below; another one is another judge, and another cache."""
SHOWN_STEPS = 20
"""Of the history, the last ones."""
REPLY_TOKENS = 160
"""Of a usual reply, for the estimate."""
MOST_TOKENS = 500
TEMPERATURE = 0.7
"""From the second try on; the first is greedy."""
RULES = (
    "You judge one step of a simulated text world, in which a model plays the environment for an agent. Rate the step "
    "on four axes with 0 (bad), 1 (middling) or 2 (good):\n"
    "- consistency: the next state, the reward and the end follow from the state before, the history and the action.\n"
    "- diversity: the state varies as a real one would; it does not repeat what was there where something should "
    "change, and does not change where nothing should.\n"
    "- informativeness: the next state says what the agent needs in order to act.\n"
    "- hallucination: nothing is invented, and an impossible action fails or brings nothing instead of an invented "
    "success. 2 means no hallucination, 0 a clear one.\n"
)
WITHOUT = "You are not shown what the real environment answered: judge by what stands here.\n"
WITH = "You are shown what the real environment answered to the same action in the same situation: it is right.\n"
FORM = (
    'Answer with JSON between <json> and </json>: {"consistency": {"score": 0, "reason": "one short sentence"}, …}, '
    "with all four axes."
)


class ModelJudge:
    """Asks, reads, keeps."""

    def __init__(self, engine: Engine, cache: ReplyCache, name: str = "", tries: int = 2, batch: int = 16) -> None:
        """Make a judge of an instruction model.

        Args:
            engine: The model.
            cache: Of its replies.
            name: What it is called, where its engine's name also says at which address it is.
            tries: Of a prompt whose replies cannot be read.
            batch: Prompts at once.

        Raises:
            ConfigError: The model has no chat template; `tries` or `batch` below 1.
        """
        render = chat_template(engine)
        if render is None:
            raise ConfigError(f"{engine.name} takes no instructions; a judge is a model with a chat template")
        if tries < 1 or batch < 1:
            raise ConfigError(f"tries and batch go from 1, got {tries} and {batch}")
        self._render, self._tries, self._batch = render, tries, batch
        self.name = name or engine.name
        self._asker = Asker(engine, cache, self.name, PROMPT_VERSION, STOP)

    @property
    def num_tokens(self) -> int:
        """Written in this run."""
        return self._asker.num_tokens

    def estimate(self, cases: Sequence[Case]) -> Estimate:
        """Say what judging these would ask for; sends nothing."""
        return self._asker.estimate((question(self._render, case), REPLY_TOKENS) for case in cases)

    def judge(self, cases: Sequence[Case], on_done: Callable[[int], None] | None = None) -> Iterator[Verdict]:
        """Yield a verdict for each case, in order.

        Args:
            cases: To judge.
            on_done: Called with the number of cases that are done.

        Raises:
            EngineError: The model cannot be reached; what was answered is kept.
        """
        for start in range(0, len(cases), self._batch):
            part = cases[start : start + self._batch]
            yield from self._judge_some(part)
            if on_done is not None:
                on_done(start + len(part))

    def _judge_some(self, cases: Sequence[Case]) -> list[Verdict]:
        prompts = [question(self._render, case) for case in cases]
        found: dict[int, Verdict] = {}
        waiting = list(range(len(cases)))
        for attempt in range(self._tries):
            new = dict.fromkeys(prompts[n] for n in waiting if self._asker.known(prompts[n], attempt) is None)
            self._asker.write(list(new), MOST_TOKENS, TEMPERATURE if attempt else 0.0, attempt)
            for n in waiting:
                found[n] = self._verdict(cases[n], prompts[n], attempt)
            waiting = [n for n in waiting if found[n].problem is not None]
        return [found[n] for n in range(len(cases))]

    def _verdict(self, case: Case, prompt: str, attempt: int) -> Verdict:
        raw = self._asker.known(prompt, attempt)
        read = self._asker.refusal(prompt, attempt) or parse(raw or "")
        scores: Mapping[Axis, tuple[int, str]] = {} if isinstance(read, str) else read
        return Verdict(
            case.item_id,
            self.name,
            PROMPT_VERSION,
            case.reference is not None,
            {axis: rating for axis, (rating, _) in scores.items()},
            {axis: reason for axis, (_, reason) in scores.items()},
            read if isinstance(read, str) else None,
            prompt,
            raw,
        )


def parse(raw: str) -> Mapping[Axis, tuple[int, str]] | str:
    """Read a reply as rating and reason by axis; a str is the reason why it cannot be read."""
    value = read_json(raw)
    if value is None:
        return NOT_JSON
    found: dict[Axis, tuple[int, str]] = {}
    for axis in AXES:
        one = value.get(axis)
        if not isinstance(one, dict):
            return f"{axis} is missing"
        score, reason = one.get("score"), one.get("reason", "")
        if type(score) is not int or score not in RATINGS:
            return f"{axis} is not rated 0, 1 or 2"
        found[axis] = (score, " ".join(reason.split()) if isinstance(reason, str) else "")
    return found


def _harmless(text: str) -> str:
    """Text of a dream that can neither pose as a part of the conversation nor as a reply of the judge."""
    return neutral(text).replace(OPENING, "‹json›").replace(STOP, "‹/json›")


def question(render: Render, case: Case) -> str:
    """Write what a judge is asked; the whole prompt, up to where its reply begins."""
    shown = case.history[-SHOWN_STEPS:]
    lines = [f"Task: {_harmless(case.task.text)}"]
    if len(shown) < len(case.history):
        lines.append(f"({len(case.history) - len(shown)} earlier steps are left out)")
    for number, step in enumerate(shown, len(case.history) - len(shown) + 1):
        lines.append(f"Step {number}. Action: {_harmless(step.action)}\nState after it:\n{_harmless(step.next_state)}")
    lines.append(f"State before the step to judge:\n{_harmless(case.step.state)}")
    lines.append(f"Action: {_harmless(case.step.action)}")
    lines.append(f"Predicted next state:\n{_outcome(case.step)}")
    if case.reference is not None:
        lines.append(f"What the real environment answered:\n{_outcome(case.reference)}")
    system = RULES + (WITHOUT if case.reference is None else WITH) + FORM
    return render([("system", system), ("user", "\n\n".join(lines))], True) + OPENING


def _outcome(step: Transition) -> str:
    return f"{_harmless(step.next_state)}\nReward: {reward_text(step.reward)}, done: {int(step.terminated)}"
