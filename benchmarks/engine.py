"""Speed of the transformers engine on a random Llama of nano's size: `python benchmarks/engine.py --threads 1`.

Prints JSON: how fast prompts are read, what a decode step costs at several batch sizes, how much a cache kept over the
turns of an episode saves against reading the conversation again each turn, and the time of one evaluation batch.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.interfaces import Session

STOP = "<stop>"
PROMPT_TOKENS, REPLY_TOKENS, NUM_TURNS, ACTION_TOKENS = 1200, 80, 10, 30


def make_model(folder: Path) -> int:
    """Save a random Llama that reads bytes (one token each); return its number of parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={byte: index for index, byte in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([STOP])
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return int(model.num_parameters())


def write(session: Session, max_tokens: int) -> tuple[float, int]:
    """Generate; return the seconds and the longest reply's tokens."""
    start = perf_counter()
    replies = session.generate(STOP, max_tokens)
    return perf_counter() - start, max(len(reply.token_ids) for reply in replies)


def best(measure: Callable[[], float]) -> float:
    """The least of three measurements: other programs can only slow one down."""
    return min(measure() for _ in range(3))


def reading_seconds_per_token(engine: TransformersEngine, batch: int = 8) -> float:
    """Wall time per prompt token read."""
    session = engine.open(batch)
    session.extend(["x" * PROMPT_TOKENS] * batch)
    return write(session, 1)[0] / (batch * PROMPT_TOKENS)


def step_milliseconds(engine: TransformersEngine, batch: int) -> float:
    """Wall time of one decode step, which writes one token in each of `batch` conversations."""
    session = engine.open(batch)
    session.extend(["x" * PROMPT_TOKENS] * batch)
    write(session, 1)
    seconds, steps = write(session, REPLY_TOKENS)
    return 1000 * seconds / steps


def episode_seconds(engine: TransformersEngine, *, keep_cache: bool) -> float:
    """Wall time of an episode whose conversation grows turn by turn."""
    start = perf_counter()
    session, conversation = engine.open(1), "x" * (PROMPT_TOKENS // 2)
    new = conversation
    for _ in range(NUM_TURNS):
        if not keep_cache:
            session.close()
            session, new = engine.open(1), conversation
        session.extend([new])
        session.generate(STOP, REPLY_TOKENS // 2)
        # Stands for the reply's text too, so that both ways read equally many tokens.
        new = "y" * ACTION_TOKENS
        conversation += "z" * (REPLY_TOKENS // 2) + new
    return perf_counter() - start


def evaluation_seconds(engine: TransformersEngine, batch: int = 64) -> float:
    """Wall time of one batch of prompts of many lengths with replies of many lengths."""
    session = engine.open(batch)
    session.extend(["x" * (PROMPT_TOKENS * (index + 1) // batch) for index in range(batch)])
    return write(session, REPLY_TOKENS)[0]


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    threads, load = parser.parse_args().threads, os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        num_parameters = make_model(Path(folder))
        engine = TransformersEngine(folder, device="cpu", num_threads=threads)
        step_milliseconds(engine, 1)  # warm up
        cached, again = (best(partial(episode_seconds, engine, keep_cache=keep)) for keep in (True, False))
        steps = {batch: round(best(partial(step_milliseconds, engine, batch)), 2) for batch in (1, 8, 32)}
        result = {
            "num_parameters": num_parameters,
            "threads": threads,
            "machine": platform.machine(),
            "load_average_before": round(load, 2),
            "prompt_tokens": PROMPT_TOKENS,
            "reading_tokens_per_second": round(1 / best(lambda: reading_seconds_per_token(engine))),
            "step_ms_by_batch": steps,
            "episode_seconds_cached": round(cached, 3),
            "episode_seconds_reading_again": round(again, 3),
            "reading_again_over_cached": round(again / cached, 2),
            "evaluation_seconds_64_prompts": round(evaluation_seconds(engine), 2),
        }
    json.dump(result, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
