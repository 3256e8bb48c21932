"""The reasoning experience model: an LLM that plays the environment (Eq. 4).

    (s', r) = M_exp( R | history, top-k demonstrations, task )

It is a pure function of its query. What keeps a cache over turns, batches or runs in another process is the engine
below.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from dreamgym.characters import whole
from dreamgym.environments import environment_module
from dreamgym.errors import ConfigError, EngineError
from dreamgym.experience_model import prompts
from dreamgym.experience_model.chat_prompts import PromptForm, prompt_form
from dreamgym.interfaces import Engine, OnText, Reply
from dreamgym.replay_buffer.retrieval import Demonstration
from dreamgym.tokens import confidence_of_reply, pack_reply
from dreamgym.types import Failure, Neighbour, Task, Transition

MAX_REPLY_TOKENS = 256
_MOST_DRAWS = 5
"""Of a state behind one thought."""
_CALMER = 0.5
"""Of the temperature, after the first draw: slips become rare, and what a thought names is named."""
_NEXT_DRAW = 1_000_000_007
"""Between the seeds of a draw and the next one."""
_NOTHING = Reply("", (), (), True)


@dataclass(frozen=True, slots=True)
class Switches:
    """What the model may use for a step, and how it decodes."""

    history: bool = True
    """Off: it sees the present state only, and nothing is recalled of earlier ones."""
    reasoning: bool = True
    """Off: it answers without thinking first."""
    retrieval: bool = True
    """Off: no demonstrations."""
    k: int = 2
    """Demonstrations to retrieve."""
    temperature: float = 0.0
    """0.0 is greedy. Above, a state that contradicts its own reasoning, or what was dreamed before, is drawn again."""
    seed: int = 0
    """Of the random numbers when temperature is above 0."""
    guard: bool = False
    """On: a step that claims more than the dream's own earlier states allow is refused, and says so."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.k <= 16:
            raise ConfigError(f"k is the number of demonstrations, 0 to 16; got {self.k}")
        if not 0 <= self.temperature <= 2:
            raise ConfigError(f"temperature goes from 0 (greedy) to 2; got {self.temperature}")


@dataclass(frozen=True, slots=True)
class Query:
    """One step to dream."""

    task: Task
    history: tuple[Transition, ...]
    state: str
    action: str
    demonstrations: tuple[Demonstration, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """A dreamed step."""

    reasoning: str | None
    next_state: str
    reward: float
    done: bool
    success: bool
    """Done with the full reward of 1."""
    confidence: float | None
    """exp(mean log-probability of the next state's tokens), in (0, 1]; None where the engine gives none."""
    raw_reply: str
    num_tokens: int
    seconds: float
    """Wall time of the batch that this step was part of."""
    contradiction: str | None = None
    """Why the guard or a second model did not believe `raw_reply`; state and reward are then what is believed."""
    token_probabilities: bytes | None = None
    """Of `raw_reply`, see `tokens.unpack`; None where the engine gives none."""


@dataclass(frozen=True, slots=True)
class MalformedPrediction:
    """A reply that cannot be read: data with a reason, never a reward of 0."""

    raw_reply: str
    reason: str
    confidence: float | None
    """As of a prediction; of all tokens, where no whole next state stands in the reply."""
    num_tokens: int
    seconds: float
    token_probabilities: bytes | None = None


class ExperienceModel:
    """Plays an environment from text alone."""

    def __init__(self, engine: Engine, max_tokens: int = MAX_REPLY_TOKENS, doubters: Sequence[Engine] = ()) -> None:
        """Make a model that dreams with `engine`.

        Args:
            engine: Loaded weights.
            max_tokens: A longer reply is cut and counts as malformed; a drawn one has as many for its thought and again
                for the rest.
            doubters: Further models that dream every step too, greedily; the most sceptical of all is believed.
        """
        self.engine = engine
        self._max_tokens, self._doubters = max_tokens, tuple(doubters)

    @property
    def name(self) -> str:
        """Name and checksum of the weights."""
        return ", doubted by ".join(engine.name for engine in (self.engine, *self._doubters))

    def predict(
        self, queries: Sequence[Query], switches: Switches | None = None, on_text: OnText | None = None
    ) -> list[Prediction | MalformedPrediction]:
        """Dream one step for each query, as one batch.

        Args:
            queries: Steps to dream; the demonstrations in them are used unless retrieval is off.
            switches: What the model may use; default: everything, greedy.
            on_text: Called with (index, new text) while the replies are written, opening tag included.

        Returns:
            One result per query, in order.

        Raises:
            EngineError: The model could not run.

        Source: DreamGym, arXiv:2511.03773, section 4.1, Eq. 4.
        """
        if not queries:
            return []
        session = self.open(len(queries))
        try:
            return [answer for answer in session.predict(queries, switches, on_text) if answer is not None]
        finally:
            session.close()

    def open(self, batch: int) -> "DreamSession":
        """Start a session for `batch` episodes side by side."""
        doubters = [DreamSession(engine, batch, self._max_tokens) for engine in self._doubters]
        return DreamSession(self.engine, batch, self._max_tokens, doubters)


class DreamSession:
    """Episodes dreamed side by side; what was read of their histories stays in the engine's cache.

    A row answers what `ExperienceModel.predict` answers. Its query may be of another episode than the one before: the
    row forgets what it has read. What the model thought and was shown for a step is forgotten after it, as it stands in
    no later prompt, so that the cache never holds anything that has to be masked.
    """

    def __init__(self, engine: Engine, batch: int, max_tokens: int, doubters: "Sequence[DreamSession]" = ()) -> None:
        """Made by `ExperienceModel.open`."""
        self._engine, self._max_tokens, self._doubters = engine, max_tokens, doubters
        self._session = engine.open(batch)
        self._heads = [""] * batch
        """What each row has read: all but the present question."""
        self._form: PromptForm | None = None
        self.num_redrawn = 0
        """Steps whose first draw did not stand, since the session began."""

    def predict(
        self, queries: Sequence[Query | None], switches: Switches | None = None, on_text: OnText | None = None
    ) -> list[Prediction | MalformedPrediction | None]:
        """Dream one step in each row that has a query; None for the others, which forget their episode.

        Raises:
            EngineError: The model could not run; the next call reads everything anew.
        """
        switches = switches or Switches()
        start = time.perf_counter()
        if not any(queries):
            self._forget(range(len(queries)))
            return [None] * len(queries)
        try:
            form = self._form = self._form or prompt_form(self._engine)
            self._read([_head(form, query, switches) for query in queries])
            self._session.extend([_question(form, query, switches) for query in queries])
            answers = self._write(queries, switches, on_text, start)
        except BaseException:
            self._forget(range(len(queries)))
            raise
        for doubter in self._doubters:
            others = doubter.predict(queries, replace(switches, guard=False, temperature=0.0))
            answers = [_doubted(*each) for each in zip(queries, answers, others, strict=True)]
        return answers

    def _write(
        self, queries: Sequence[Query | None], switches: Switches, on_text: OnText | None, start: float
    ) -> list[Prediction | MalformedPrediction | None]:
        """Let every row that was asked think and answer, and bring it back to where it was before the question.

        What is drawn at a temperature above 0 can contradict itself: the thought says that a mug is there, the state
        shows none. A state like that is drawn again behind the same thought, with more care, so that what was thought
        stays as likely as the model finds it. What is refused or cannot be read even then gives way to the likeliest
        reply; where that is no better, the draw stands.
        """
        opening = "<think>" if switches.reasoning else "<no_think>"
        for row, query in enumerate(queries):
            if on_text is not None and query is not None:
                on_text(row, opening)
        temperature, seed, is_drawn = switches.temperature, switches.seed, switches.temperature > 0
        thoughts, num_turns = [_NOTHING] * len(queries), [1] * len(queries)  # the question
        if is_drawn and switches.reasoning:
            thoughts = self._session.generate(prompts.THOUGHT_STOP, self._max_tokens, temperature, seed, on_text)
            num_turns = [2] * len(queries)
        answers: list[Prediction | MalformedPrediction | None] = [None] * len(queries)
        asked = {row for row, query in enumerate(queries) if query is not None}
        rows = {row for row in asked if thoughts[row].finished}
        for draw in range(_MOST_DRAWS if is_drawn else 1):
            if draw:
                temperature, seed, on_text = _CALMER * switches.temperature, seed + _NEXT_DRAW, None
            rests = self._session.generate(prompts.STOP, self._max_tokens, temperature, seed, on_text, rows)
            num_turns = [number + 1 for number in num_turns]
            seconds = time.perf_counter() - start
            for row in rows if draw else asked:
                reply = read_reply(opening, thoughts[row].then(rests[row]), seconds)
                answers[row] = _guarded(queries[row], reply, switches)
            rows = {row for row in rows if not _agrees(queries[row], answers[row])}
            if is_drawn and not draw:
                self.num_redrawn += len(asked) - sum(_agrees(queries[row], answers[row]) for row in asked)
            if not rows:
                break
            for row in rows:
                self._session.rewind(row, 1)
                num_turns[row] -= 1
        for row, number in enumerate(num_turns):
            self._session.rewind(row, number)
        return self._likeliest(queries, answers, switches) if is_drawn else answers

    def _likeliest(
        self,
        queries: Sequence[Query | None],
        answers: Sequence[Prediction | MalformedPrediction | None],
        switches: Switches,
    ) -> list[Prediction | MalformedPrediction | None]:
        """The greedy reply in place of a draw that was refused or cannot be read, if it is neither.

        Refused for a slip of the pen, an action would stay refused: the model reads in its history that it did not
        work.
        """
        again = {
            row: query
            for row, (query, answer) in enumerate(zip(queries, answers, strict=True))
            if query is not None and answer is not None and not _stands(answer)
        }
        greedy = ExperienceModel(self._engine, self._max_tokens).predict(
            list(again.values()), replace(switches, temperature=0.0)
        )
        better = {row: answer for row, answer in zip(again, greedy, strict=True) if _stands(answer)}
        return [better.get(row, answer) for row, answer in enumerate(answers)]

    def close(self) -> None:
        """Free the cache; safe to call twice."""
        self._session.close()
        for doubter in self._doubters:
            doubter.close()

    def _read(self, heads: Sequence[str]) -> None:
        known = zip(self._heads, heads, strict=True)
        self._forget([row for row, (old, new) in enumerate(known) if old and not (new and new.startswith(old))])
        self._session.extend([new[len(old) :] for old, new in zip(self._heads, heads, strict=True)])
        self._heads = list(heads)

    def _forget(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._heads[row] = ""
            with suppress(EngineError):  # the session was closed under us
                self._session.rewind(row)


def _head(form: PromptForm, query: Query | None, switches: Switches) -> str:
    if query is None:
        return ""
    used = {"use_history": switches.history, "use_reasoning": switches.reasoning}
    return form.head(query.task, query.history, query.state, **used)


def _question(form: PromptForm, query: Query | None, switches: Switches) -> str:
    if query is None:
        return ""
    used = {"use_history": switches.history, "use_reasoning": switches.reasoning}
    shown = query.demonstrations[: switches.k] if switches.retrieval else ()
    return form.question(query.task, query.history, query.state, query.action, shown, **used)


def read_reply(opening: str, reply: Reply, seconds: float) -> Prediction | MalformedPrediction:
    """Turn generated text into a dreamed step, or into the reason why it is none."""
    raw = opening + whole(reply.text)
    num_tokens = len(reply.token_ids)
    confidence = confidence_of_reply(opening, reply, raw)
    tokens = pack_reply(opening, reply, raw)
    parsed = prompts.parse(raw)
    if isinstance(parsed, str):
        reason = parsed if reply.finished else f"{parsed} after {num_tokens} tokens"
        return MalformedPrediction(raw, reason, confidence, num_tokens, seconds, tokens)
    return Prediction(
        reasoning=parsed.reasoning,
        next_state=parsed.state,
        reward=parsed.reward,
        done=parsed.done,
        success=parsed.done and parsed.reward == 1.0,
        confidence=confidence,
        raw_reply=raw,
        num_tokens=num_tokens,
        seconds=seconds,
        token_probabilities=tokens,
    )


def _stands(answer: Prediction | MalformedPrediction) -> bool:
    """It can be read, and was not refused."""
    return isinstance(answer, Prediction) and answer.contradiction is None


def _agrees(query: Query | None, answer: Prediction | MalformedPrediction | None) -> bool:
    """It stands, and its reasoning does not say otherwise than its state and reward."""
    if query is None or not isinstance(answer, Prediction) or not _stands(answer):
        return False
    if answer.reasoning is None:
        return True
    module = environment_module(query.task.environment)
    found = module.check_reasoning(answer.reasoning, answer.next_state, answer.reward)
    return found.verdict is None or False not in (found.verdict, found.marks, found.shown, found.goal)


def _guarded(
    query: Query | None, answer: Prediction | MalformedPrediction, switches: Switches
) -> Prediction | MalformedPrediction:
    """Refuse what the states so far forbid, when the guard is on; the model need not have been shown them."""
    if query is None or not switches.guard or isinstance(answer, MalformedPrediction):
        return answer
    module = environment_module(query.task.environment)
    found = module.contradict(query.task, query.history, query.state, query.action, answer.next_state, answer.reward)
    if found is None:
        return answer
    return replace(answer, next_state=found.state, reward=0.0, done=False, success=False, contradiction=found.reason)


def _doubted(
    query: Query | None, answer: Prediction | MalformedPrediction | None, other: Prediction | MalformedPrediction | None
) -> Prediction | MalformedPrediction | None:
    """The more sceptical of two dreamed steps: one that refuses beats one that does not, and the lower reward counts.

    A reply that cannot be read objects to nothing.
    """
    if query is None or not isinstance(answer, Prediction) or not isinstance(other, Prediction):
        return answer
    module = environment_module(query.task.environment)
    if module.is_refusal(other.next_state) and not module.is_refusal(answer.next_state):
        reason, state = "a second model refuses this action", other.next_state
    elif other.reward < answer.reward:
        reason, state = f"a second model pays {other.reward:g}, not {answer.reward:g}", answer.next_state
    else:
        return answer
    reward = min(answer.reward, other.reward)
    return replace(answer, next_state=state, reward=reward, done=other.done, success=False, contradiction=reason)


def to_transition(query: Query, prediction: Prediction) -> Transition:
    """A dreamed step as a stored one."""
    return Transition(
        state=query.state,
        action=query.action,
        next_state=prediction.next_state,
        reward=prediction.reward,
        terminated=prediction.done,
        success=prediction.success,
        reasoning=prediction.reasoning,
        confidence=prediction.confidence,
        raw_reply=prediction.raw_reply,
        neighbours=tuple(Neighbour(d.transition_id, d.similarity) for d in query.demonstrations),
        seconds=prediction.seconds,
        contradiction=prediction.contradiction,
        token_probabilities=prediction.token_probabilities,
    )


def to_failure(query: Query, prediction: MalformedPrediction) -> Failure:
    """A reply that cannot be read as what ends its episode."""
    return Failure(query.action, prediction.reason, prediction.raw_reply, prediction.token_probabilities)
