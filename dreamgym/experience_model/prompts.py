"""The experience model's prompt, and beside it the parser of its reply.

Compact form, in which every tag is one token of nano's vocabulary:

    <task>…</task><state>first state</state>
    <action>…</action><no_think><state>…</state><reward>0.0</reward><done>0</done>        each past step
    <demo>…</demo><recall>…</recall><action>…</action><think>                              the step to dream

and the reply goes on from `<think>` (or, with reasoning off, from `<no_think>`):

    …</think><state>…</state><reward>0.0</reward><done>0</done>

The action stands last: when demonstrations stood behind it, nano took theirs for its own. Before it stands what the
episode's own earlier states said of what the action asks for (`EnvironmentModule.recall`): nano did not find
that in a long history by itself. Reasoning, demonstrations and what was recalled for past steps are left out, so that a
real history and a dreamed one read alike.

The same weights vary tasks (Eq. 6). The seed whose world is kept stands last, before its first state:

    <task>…</task><task>…</task><state>first state</state><variation>

and the reply is the instruction of another task in that world, up to `</variation>`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dreamgym.environments import environment_module
from dreamgym.environments.judgement import reward_text
from dreamgym.replay_buffer.retrieval import Demonstration
from dreamgym.types import Task, Transition

TAGS = (
    *("<task>", "</task>", "<state>", "</state>", "<action>", "</action>", "<demo>", "</demo>"),
    *("<think>", "</think>", "<no_think>", "<no_history>", "<reward>", "</reward>", "<done>", "</done>"),
    *("<recall>", "</recall>", "<variation>", "</variation>"),
)
STOP = "</done>"
THOUGHT_STOP = "</think>"
VARIATION_TAGS = (VARIATION_OPENING, VARIATION_STOP) = ("<variation>", "</variation>")

LONGEST_REPLY = 50_000
"""Characters; a longer reply is no state of a text world, and everything that reads states may take its time."""

LONGEST_INSTRUCTION = 300
"""Characters; no environment here says a task at such length."""

_TAG = re.compile(r"</?(?:task|state|action|demo|think|no_think|no_history|reward|done|recall|variation)>")
_POSING = re.compile(
    rf"{_TAG.pattern}|<\|[^<>\n]{{0,40}}\|>|</?s>|</?(?:start|end)_of_turn>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS)\]"
)
"""Our tags, and what begins and ends messages in the templates of Llama, Qwen, SmolLM, Mistral and Gemma."""
_HALF_TAG = re.compile(r"</?[a-z_]*$")
_REPLY = re.compile(
    r"^(?:<think>(?P<reasoning>.*?)</think>|<no_think>)\s*<state>(?P<state>.*?)</state>\s*"
    r"<reward>(?P<reward>.*?)</reward>\s*<done>(?P<done>.*?)</done>$",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """A complete reply."""

    reasoning: str | None
    """None when the reply was asked for without reasoning."""
    state: str
    reward: float
    """In [0, 1]."""
    done: bool


@dataclass(frozen=True, slots=True)
class ParsedVariation:
    """A complete instruction; whether it can be done is another question."""

    text: str


@dataclass(frozen=True, slots=True)
class PartialReply:
    """A reply while it is written; None: that part has not begun."""

    reasoning: str | None
    state: str | None
    reward: str | None
    done: str | None


def neutral(text: str) -> str:
    """Text of a user, a task or a world without our tags or a chat template's, so that it cannot pose as a prompt."""
    broken = str.maketrans("<>[]", "‹›⁅⁆")
    return _POSING.sub(lambda found: found.group().translate(broken), text)


def start_text(task: Task, first_state: str) -> str:
    """The head of every prompt."""
    return f"<task>{neutral(task.text)}</task><state>{neutral(first_state)}</state>"


def action_text(action: str) -> str:
    """An action, ready for demonstrations or a reply."""
    return f"<action>{neutral(action)}</action>"


def reply_text(transition: Transition, reasoning: str | None) -> str:
    """The reply that a transition stands for: training target, or a past step when `reasoning` is None."""
    return "".join(reply_parts(transition, reasoning))


def reply_parts(transition: Transition, reasoning: str | None) -> tuple[str, str, str]:
    """Return the reply's reasoning, its state, and the rest."""
    thought = "<no_think>" if reasoning is None else f"<think>{neutral(reasoning)}</think>"
    state = f"<state>{neutral(transition.next_state)}</state>"
    reward = reward_text(transition.reward)
    return thought, state, f"<reward>{reward}</reward><done>{int(transition.terminated)}</done>"


def demonstration_text(task: Task, state: str, action: str, demonstration: Demonstration) -> str:
    """A neighbour in short: action, feedback; all of its next state where that is evidence of this step's.

    Without the neighbour's own state, so that many steps of a training row can show some. What a dream has made up is
    no evidence.
    """
    step = demonstration.transition
    outcome = step.next_state.split("\n", 1)[0]
    if demonstration.world == "real":
        outcome = environment_module(task.environment).evidence(state, action, step)
    return f"<demo>{neutral(step.action)} > {neutral(outcome)} {reward_text(step.reward)}</demo>"


def head_text(task: Task, history: Sequence[Transition], state: str, *, use_history: bool = True) -> str:
    """What a prompt says before the present action; it only grows while an episode goes on.

    Args:
        task: The task.
        history: Past steps, oldest first.
        state: The present state; shown alone when history is off.
        use_history: Off: only the present state, marked by a control token the model was trained with.
    """
    if not use_history:
        return start_text(task, state) + "<no_history>"
    first = history[0].state if history else state
    return start_text(task, first) + "".join(action_text(step.action) + reply_text(step, None) for step in history)


def recall(
    task: Task, history: Sequence[Transition], state: str, action: str, *, use_history: bool = True
) -> str | None:
    """What a prompt recalls of the episode; None where there is nothing, or history is off."""
    return environment_module(task.environment).recall(task, history, state, action) if use_history else None


def question_text(
    task: Task,
    state: str,
    action: str,
    demonstrations: Sequence[Demonstration],
    recalled: str | None,
    *,
    use_reasoning: bool = True,
) -> str:
    """What a prompt says last: the neighbours (closest first), what is recalled, the action, how the reply begins."""
    texts = [demonstration_text(task, state, action, one) for one in demonstrations]
    shown = "".join(text for at, text in enumerate(texts) if "\n" not in text or text not in texts[:at])  # a page once
    memory = "" if recalled is None else f"<recall>{neutral(recalled)}</recall>"
    return shown + memory + action_text(action) + ("<think>" if use_reasoning else "<no_think>")


def prompt_text(
    task: Task,
    history: Sequence[Transition],
    state: str,
    action: str,
    demonstrations: Sequence[Demonstration],
    *,
    use_history: bool = True,
    use_reasoning: bool = True,
) -> str:
    """The whole prompt of one step (Eq. 4: history, k demonstrations, task); it ends where the reply begins."""
    head = head_text(task, history, state, use_history=use_history)
    recalled = recall(task, history, state, action, use_history=use_history)
    return head + question_text(task, state, action, demonstrations, recalled, use_reasoning=use_reasoning)


def reply_regex(conversation: str, stop: str) -> str | None:
    """What every reply looks like that goes on from `conversation` up to `stop`: structured output for engines.

    Returns:
        A regular expression; None where a reply may have any form.
    """
    if stop == VARIATION_STOP:
        return r"[^<\n]{1,300}</variation>"
    if stop not in (STOP, THOUGHT_STOP):
        return None
    thought = r"[^<]{1,400}</think>" if conversation.endswith("<think>") else ""
    if stop == THOUGHT_STOP:
        return thought or None
    return thought + r"<state>[^<]{1,2400}</state><reward>(0|1|0\.\d{1,2}|1\.0)</reward><done>[01]</done>"


def parse(raw: str) -> ParsedReply | str:
    """Read a reply (with its opening tag); a str is the reason why it cannot be read."""
    if len(raw) > LONGEST_REPLY:
        return f"the reply has {len(raw)} characters, more than {LONGEST_REPLY}"
    tags = _TAG.findall(raw)
    repeats = len(set(tags)) < len(tags)
    # With every tag once there is one way to match, so that no text can make the search slow.
    found = None if repeats else _REPLY.match(raw.strip())
    if found is None:
        missing = next((tag for tag in ("</think>", "</state>", "</reward>", "</done>") if tag not in raw), None)
        if missing == "</think>" and raw.startswith("<no_think>"):
            missing = next((tag for tag in ("</state>", "</reward>", "</done>") if tag not in raw), None)
        if missing:
            return f"no {missing} in the reply"
        return "a tag stands inside another part" if repeats else "the parts of the reply stand in the wrong order"
    state = found["state"].strip()
    if not state:
        return "the next state is empty"
    if _TAG.search(state) or _TAG.search(found["reasoning"] or ""):
        return "a tag stands inside another part"
    try:
        reward = float(found["reward"])
    except ValueError:
        return f"the reward {_quoted(found['reward'])} is not a number"
    if not 0 <= reward <= 1:
        return f"the reward {reward:g} is outside 0 to 1"
    if found["done"].strip() not in ("0", "1"):
        return f"done is {_quoted(found['done'])} instead of 0 or 1"
    reasoning = found["reasoning"]
    return ParsedReply(
        reasoning.strip() if reasoning is not None else None, state, reward, found["done"].strip() == "1"
    )


def spans(raw: str) -> dict[str, tuple[int, int]]:
    """Where the parts that `parse` reads stand in a reply, as (start, end): reasoning if any, state, reward, done.

    Empty for a reply that cannot be read.
    """
    found = None if isinstance(parse(raw), str) else _REPLY.match(raw.strip())
    if found is None:
        return {}
    before = len(raw) - len(raw.lstrip())
    shown = {}
    for name, text in found.groupdict().items():
        if text is not None:
            start = before + found.start(name) + len(text) - len(text.lstrip())
            shown[name] = (start, start + len(text.strip()))
    return shown


def variation_prompt(seeds: Sequence[Task]) -> str:
    """What the model reads before it varies a task (Eq. 6).

    Args:
        seeds: m seed tasks, at least one; the variation is to be done in the world of the last.
    """
    *others, kept = seeds
    shown = "".join(f"<task>{neutral(task.text)}</task>" for task in others)
    return shown + start_text(kept, kept.first_state) + VARIATION_OPENING


def variation_reply(task: Task) -> str:
    """The reply that a variation stands for: the training target."""
    return neutral(task.text) + VARIATION_STOP


def parse_variation(raw: str) -> ParsedVariation | str:
    """Read the reply to `variation_prompt`; a str is the reason why it is no instruction."""
    text, stop, rest = raw.partition(VARIATION_STOP)
    text = text.strip()
    if not stop:
        return f"no {VARIATION_STOP} in the reply"
    if rest.strip():
        return f"text stands behind {VARIATION_STOP}"
    if not text:
        return "the instruction is empty"
    if len(text) > LONGEST_INSTRUCTION:
        return f"the instruction has {len(text)} characters, more than {LONGEST_INSTRUCTION}"
    if _TAG.search(text):
        return "a tag stands inside the instruction"
    # Line breaks and what cannot be seen would pass for something else in a prompt or on a page.
    return ParsedVariation(text) if text.isprintable() else "the instruction is not one line of readable text"


def _quoted(text: str) -> str:
    """The beginning of a text, for a sentence."""
    text = text.strip()
    return repr(text if len(text) <= 40 else text[:40] + "…")


def parse_partial(raw: str) -> PartialReply:
    """Read what has been written so far, for a page that streams."""

    def part(name: str) -> str | None:
        _, opened, rest = raw.partition(f"<{name}>")
        text, *closed = _TAG.split(rest, maxsplit=1)
        return (text if closed else _HALF_TAG.sub("", text)).strip() if opened else None

    return PartialReply(part("think"), part("state"), part("reward"), part("done"))
