"""Prompts for instruction models: a conversation in the model's own chat template, and the replies of the compact form.

What nano reads as one line of tags, an instruction model is told in words: rules first, then one message per step, and
its own earlier replies between them. The reply has the same tags, so that one parser reads both. Demonstrations are
whole transitions here, as in the paper; they and what is recalled stand in the last message alone.

    system     how the world is played, and the form of a reply
    user       Task: …  State: …  Action: …                 the first step
    assistant  <state>…</state><reward>…</reward><done>…</done>
    user       Similar steps: …  Seen before: …  Action: …  the step to dream
    assistant  <think>                                      the reply goes on from here

Source: DreamGym, arXiv:2511.03773, section 4.1, Eq. 4; section 4.2, Eq. 6.
"""

from collections.abc import Callable, Sequence

from dreamgym.environments.judgement import reward_text
from dreamgym.experience_model import prompts
from dreamgym.experience_model.prompts import neutral
from dreamgym.interfaces import Engine, Message
from dreamgym.replay_buffer.retrieval import Demonstration
from dreamgym.types import Task, Transition

Render = Callable[[Sequence[Message], bool], str]
"""Messages, and whether the assistant is to begin, to the text that the model reads: `Engine.chat`."""

RULES = (
    "You play the world of a text game. For each action of the agent you decide what happens next, from the task, what "
    "has happened so far, and the similar steps you are shown. Be consistent: things stay where they are, and are what "
    "they are, until an action changes them. An action that is not possible changes nothing: say so in the state, as "
    'the similar steps do ("Nothing happens."), with reward 0. The reward is 1 (or a part of it, where the task can be '
    "met in part) only in the step that completes the task; then done is 1.\n"
    "Write the next state in full, in the form and wording of the states you are shown. Answer with these tags and "
    "nothing else:\n"
)
THINKING = (
    "<think>two to four short sentences: is the action possible, what does it change, is the task complete?</think>"
)
FORM = "<state>the next state</state><reward>0.0</reward><done>0</done>"
VARIATION_RULES = (
    "You write tasks for an agent in a text world. You are shown some tasks, and the first state of the world of the "
    "last one. Write one other task of the same kind and wording, that asks for something else, and can be done in "
    "that world. Answer with the task alone, in one line, followed by </variation>."
)


class ChatForm:
    """The experience model's prompt as a conversation."""

    def __init__(self, render: Render) -> None:
        """Find out whether in this template a conversation begins with what a shorter one is."""
        self._render = render
        messages: list[Message] = [("system", "a"), ("user", "b"), ("assistant", "c"), ("user", "d")]
        self._grows = all(render(messages, True).startswith(render(messages[:number], False)) for number in (1, 3))

    def head(
        self, task: Task, history: Sequence[Transition], state: str, *, use_history: bool, use_reasoning: bool
    ) -> str:
        """What a prompt says before the present step.

        Empty where the template writes earlier messages anew when later ones come: everything is then read again.
        """
        seen = history if use_history else ()
        return self._render(_messages(task, seen, use_reasoning), False) if self._grows else ""

    def question(
        self,
        task: Task,
        history: Sequence[Transition],
        state: str,
        action: str,
        demonstrations: Sequence[Demonstration],
        *,
        use_history: bool,
        use_reasoning: bool,
    ) -> str:
        """What a prompt says behind the head, up to where the reply goes on."""
        parts = [_demonstration(number, one) for number, one in enumerate(demonstrations, 1)]
        recalled = prompts.recall(task, history, state, action, use_history=use_history)
        if recalled is not None:
            parts.append(f"Seen before:\n{neutral(recalled)}")
        seen = history if use_history else ()
        parts.append(_step(task, state, action, is_first=not seen))
        messages = [*_messages(task, seen, use_reasoning), ("user", "\n\n".join(parts))]
        before = self.head(task, history, state, use_history=use_history, use_reasoning=use_reasoning)
        return self._render(messages, True)[len(before) :] + ("<think>" if use_reasoning else "<no_think>")


class CompactForm:
    """The experience model's prompt as `prompts` writes it, for models that know the tags."""

    def head(
        self, task: Task, history: Sequence[Transition], state: str, *, use_history: bool, use_reasoning: bool
    ) -> str:
        """What a prompt says before the present step."""
        return prompts.head_text(task, history, state, use_history=use_history)

    def question(
        self,
        task: Task,
        history: Sequence[Transition],
        state: str,
        action: str,
        demonstrations: Sequence[Demonstration],
        *,
        use_history: bool,
        use_reasoning: bool,
    ) -> str:
        """What a prompt says behind the head, up to where the reply goes on."""
        recalled = prompts.recall(task, history, state, action, use_history=use_history)
        return prompts.question_text(task, state, action, demonstrations, recalled, use_reasoning=use_reasoning)


PromptForm = ChatForm | CompactForm
"""Both have a head, which only grows while an episode goes on, and a question."""


def prompt_form(engine: Engine) -> PromptForm:
    """A conversation for an instruction model; else the compact form."""
    render = chat_template(engine)
    return CompactForm() if render is None else ChatForm(render)


def chat_template(engine: Engine) -> Render | None:
    """How conversations are written for an instruction model.

    None where there is no template, or all our tags are tokens: such a model has been trained on the compact form.
    """
    if engine.has_tokens(prompts.TAGS) or engine.chat([("user", "")], True) is None:
        return None
    return lambda messages, begin_reply: engine.chat(messages, begin_reply) or ""


def variation(render: Render, seeds: Sequence[Task]) -> str:
    """What the model reads before it varies a task (Eq. 6); the world is that of the last seed."""
    *_, kept = seeds
    listed = "\n".join(f"- {neutral(task.text)}" for task in seeds)
    asked = f"Tasks:\n{listed}\n\nFirst state of the last one's world:\n{neutral(kept.first_state)}\n\nAnother task:"
    return render([("system", VARIATION_RULES), ("user", asked)], True)


def _messages(task: Task, history: Sequence[Transition], use_reasoning: bool) -> list[Message]:
    messages: list[Message] = [("system", RULES + (THINKING if use_reasoning else "") + FORM)]
    for index, step in enumerate(history):
        messages.append(("user", _step(task, step.state, step.action, is_first=index == 0)))
        messages.append(("assistant", prompts.reply_text(step, None).removeprefix("<no_think>")))
    return messages


def _step(task: Task, state: str, action: str, *, is_first: bool) -> str:
    asked = f"Action: {neutral(action)}"
    return f"Task: {neutral(task.text)}\n\nState:\n{neutral(state)}\n\n{asked}" if is_first else asked


def _demonstration(number: int, demonstration: Demonstration) -> str:
    step = demonstration.transition
    return (
        f"Similar step {number}\nState:\n{neutral(step.state)}\nAction: {neutral(step.action)}\nNext state:\n"
        f"{neutral(step.next_state)}\nReward: {reward_text(step.reward)}, done: {int(step.terminated)}"
    )
