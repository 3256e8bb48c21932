from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.errors import EngineError
from dreamgym.interfaces import Reply

PROMPTS = ["go to fridge 1", "a", "take the egg from countertop 3, then look around in the kitchen"]
LATER = ["open it", "heat the potato with microwave 1 and put it away", "x"]


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(tiny_model, device="cpu", num_threads=1)


@pytest.fixture(scope="module")
def reference(tiny_model: Path) -> Any:
    """The same weights through transformers' own attention, without any cache."""
    return AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation="eager")


def full_logprobs(reference: Any, token_ids: list[int], temperature: float = 1.0) -> torch.Tensor:
    """Log-probabilities of every next token after one full pass, shape (tokens, vocabulary)."""
    with torch.inference_mode():
        logits = reference(input_ids=torch.tensor([token_ids]), use_cache=False).logits[0]
    return (logits / temperature).log_softmax(-1)


def assert_exact(reference: Any, context: list[int], reply: Reply, temperature: float = 1.0) -> None:
    """Every log-probability of the reply is that of a full pass over everything before it."""
    expected = full_logprobs(reference, [*context, *reply.token_ids], temperature)
    for position, (token_id, logprob) in enumerate(zip(reply.token_ids, reply.logprobs, strict=True)):
        assert logprob == pytest.approx(float(expected[len(context) + position - 1, token_id]), abs=1e-4)


def test_ragged_turns_equal_full_passes_over_each_conversation(engine: TransformersEngine, reference: Any) -> None:
    session = engine.open(3)
    contexts: list[list[int]] = [[], [], []]
    for texts in (PROMPTS, LATER, ["", "more", "and more"], LATER):
        session.extend(texts)
        for context, text in zip(contexts, texts, strict=True):
            context.extend(engine.encode([text], [False])[0])
        replies = session.generate("<end>", 12)
        for context, reply in zip(contexts, replies, strict=True):
            assert len(reply.token_ids) > 0
            assert_exact(reference, context, reply)
            greedy = full_logprobs(reference, [*context, *reply.token_ids]).argmax(-1).tolist()
            assert list(reply.token_ids) == greedy[len(context) - 1 : -1]
            context.extend(reply.token_ids)


def test_rows_that_end_early_leave_the_others_exact(engine: TransformersEngine, reference: Any) -> None:
    batch = 24
    prompts = [f"{'look around ' * (index % 5)}{index}" for index in range(batch)]
    session = engine.open(batch)
    session.extend(prompts)
    replies = session.generate("e", 120, temperature=1.3, seed=3)
    assert len({len(reply.token_ids) for reply in replies}) > 3
    for prompt, reply in zip(prompts, replies, strict=True):
        assert_exact(reference, engine.encode([prompt], [True])[0], reply, temperature=1.3)
    session.extend(["go on"] * batch)
    for prompt, reply, after in zip(prompts, replies, session.generate("<end>", 5), strict=True):
        ids = [*engine.encode([prompt], [True])[0], *reply.token_ids, *engine.encode(["go on"], [False])[0]]
        assert_exact(reference, ids, after)


def test_long_conversations_outgrow_the_first_allocation(engine: TransformersEngine, reference: Any) -> None:
    session = engine.open(2)
    context: list[int] = []
    for turn in range(4):
        text = f"turn {turn}: " + "word " * 18
        session.extend([text, "short"])
        context += engine.encode([text], [False])[0]
        reply = session.generate("<end>", 4)[0]
        assert_exact(reference, context, reply)
        context += reply.token_ids
    assert len(context) > 256


def test_a_prompt_batch_is_read_in_passes_without_mixing_rows(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write() -> list[Reply]:
        session = engine.open(9)
        session.extend([f"{index} " * (3 * index + 1) for index in range(9)])
        return session.generate("<end>", 6)

    whole = write()
    monkeypatch.setattr("dreamgym.engines.transformers_engine._MAX_TOKENS_PER_PASS", 20)
    assert [reply.token_ids for reply in write()] == [reply.token_ids for reply in whole]


def test_sampled_replies_repeat_by_seed_and_not_by_neighbour(engine: TransformersEngine, reference: Any) -> None:
    def write(prompts: list[str], seed: int) -> list[Reply]:
        session = engine.open(len(prompts))
        session.extend(prompts)
        return session.generate("<end>", 20, temperature=0.7, seed=seed)

    alone, again, others = write(["look"], 5)[0], write(["look"], 5)[0], write(["look", "look", "inventory"], 5)
    assert alone.token_ids == again.token_ids == others[0].token_ids
    assert others[0].token_ids != others[1].token_ids
    assert write(["look"], 6)[0].token_ids != alone.token_ids
    assert_exact(reference, engine.encode(["look"], [True])[0], alone, temperature=0.7)


def test_sampling_follows_the_models_distribution(engine: TransformersEngine, reference: Any) -> None:
    batch = 4000
    session = engine.open(batch)
    session.extend(["go"] * batch)
    first = torch.tensor([reply.token_ids[0] for reply in session.generate("<end>", 1, temperature=1.3, seed=1)])
    expected = full_logprobs(reference, engine.encode(["go"], [True])[0], 1.3)[-1].exp()
    found = torch.bincount(first, minlength=len(expected)) / batch
    # Five standard deviations of each share.
    assert bool(((found - expected).abs() <= 5 * (expected * (1 - expected) / batch).sqrt() + 1e-9).all())


def test_a_stop_token_ends_the_reply_and_stays_in_it(engine: TransformersEngine, reference: Any) -> None:
    session = engine.open(64)
    session.extend(["go"] * 64)
    replies = session.generate("<end>", 200, temperature=1.5, seed=0)
    ended = [reply for reply in replies if reply.finished]
    assert ended
    for reply in ended:
        assert reply.text.endswith("<end>")
        assert reply.text.count("<end>") == 1


def test_stop_text_over_several_tokens_ends_the_reply(engine: TransformersEngine) -> None:
    session = engine.open(1)
    session.extend(["go"])
    whole = session.generate("<never>", 30)[0]
    assert not whole.finished
    assert len(whole.token_ids) == 30
    stop = next(
        whole.text[start : start + 2]
        for start in range(4, len(whole.text) - 2)
        if whole.text[start : start + 2].isascii()
    )
    again = engine.open(1)
    again.extend(["go"])
    reply = again.generate(stop, 30)[0]
    assert reply.finished
    assert reply.text == whole.text[: whole.text.index(stop) + len(stop)]
    assert reply.token_ids == whole.token_ids[: len(reply.token_ids)]


@pytest.mark.parametrize("stop", ["<end>", "e"])
def test_streamed_pieces_join_to_the_reply(engine: TransformersEngine, stop: str) -> None:
    pieces = [""] * 3

    def on_text(index: int, text: str) -> None:
        pieces[index] += text

    session = engine.open(3)
    session.extend(PROMPTS)
    replies = session.generate(stop, 50, temperature=1.0, seed=2, on_text=on_text)
    assert pieces == [reply.text for reply in replies]
    assert [reply.text for reply in replies] == [
        text if stop not in text else text[: text.index(stop) + len(stop)]
        for text in (engine.decode(reply.token_ids) for reply in replies)
    ]


def test_a_conversation_that_fills_the_context_is_cut(engine: TransformersEngine) -> None:
    session = engine.open(2)
    session.extend(["w" * (engine.context_length - 3), "short"])
    first, second = session.generate("<end>", 8, temperature=1.0)
    assert len(first.token_ids) == 3
    assert not first.finished
    assert len(second.token_ids) > 3
    full, more = session.generate("<end>", 2)
    assert (full.token_ids, full.finished) == ((), False)
    assert len(more.token_ids) > 0


def test_misuse_is_explained(engine: TransformersEngine, tmp_path: Path) -> None:
    session = engine.open(2)
    with pytest.raises(EngineError, match="expected 2 texts"):
        session.extend(["one"])
    session.extend(["", ""])
    with pytest.raises(EngineError, match="every conversation is empty"):
        session.generate("<end>", 1)
    session.close()
    session.close()
    with pytest.raises(EngineError, match="session was closed"):
        session.extend(["a", "b"])
    with pytest.raises(EngineError, match="found none"):
        TransformersEngine(tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(EngineError, match=r"could not load the model"):
        TransformersEngine(tmp_path)


def test_a_cancelled_reply_leaves_the_conversations_as_they_were(engine: TransformersEngine) -> None:
    class CancelledError(Exception):
        pass

    def cancel(index: int, text: str) -> None:
        if index == 1:
            raise CancelledError

    session = engine.open(3)
    session.extend(PROMPTS)
    session.generate("e", 20)
    session.extend(LATER)
    with pytest.raises(CancelledError):
        session.generate("e", 20, on_text=cancel)
    replies = session.generate("e", 20)
    untouched = engine.open(3)
    untouched.extend(PROMPTS)
    untouched.generate("e", 20)
    untouched.extend(LATER)
    assert [reply.token_ids for reply in replies] == [reply.token_ids for reply in untouched.generate("e", 20)]


def test_the_name_tells_the_weights(tiny_model: Path, engine: TransformersEngine, tmp_path: Path) -> None:
    import shutil

    folder, digits = engine.name.split("@")
    assert folder == "tiny"
    assert len(digits) == 8
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    assert TransformersEngine(copy).name == f"copy@{digits}"
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert TransformersEngine(copy).name != f"copy@{digits}"


def test_closing_twice_is_fine_and_a_closed_engine_says_so(tiny_model: Path) -> None:
    engine = TransformersEngine(tiny_model)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="was closed"):
        engine.open(1)


def test_single_tokens_are_told_from_spelled_text(engine: TransformersEngine) -> None:
    assert engine.has_tokens(["<end>", "a"]) and engine.has_tokens([])
    assert not engine.has_tokens(["<end>", "<variation>"]) and not engine.has_tokens([""])
