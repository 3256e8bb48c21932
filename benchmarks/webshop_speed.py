"""Speed of our WebShop: `dreamgym bench webshop-speed [--products N] [--output FILE]`.

Noisy expert episodes in test shops are recorded once, then played again in shops that were opened anew, so that no
product and no search is remembered (stems of words and nouns of titles are); resets count. Seconds are those of the
processor. With `--products` a catalogue of that many made-up products is written as files of the original's form and
opened as a user's would be, in a process of its own: how long that takes, how large it is, how much memory it needs,
and how long a search takes in it.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from dreamgym.collect import play
from dreamgym.environments.webshop.engine import WebShopEnvironment
from dreamgym.environments.webshop.generator import NUM_PRODUCTS, generate
from dreamgym.environments.webshop.nouns import noun_source
from dreamgym.environments.webshop.policies import make_policy
from dreamgym.environments.webshop.shop import open_shop
from dreamgym.environments.webshop.tasks import data_source, load_tasks
from dreamgym.results import publish
from dreamgym.types import Provenance, Task

NOISE, MAX_STEPS, NUM_SEARCHES = 0.25, 15, 200
Episode = tuple[Task, list[str]]


def record(num_episodes: int) -> list[Episode]:
    """Let a noisy expert shop, and keep what it did."""
    environment, episodes = WebShopEnvironment(), []
    for number, task in enumerate(load_tasks("test", num_episodes)):
        policy = make_policy("expert", seed=number, noise=NOISE)
        trajectory = play(environment, policy, task, MAX_STEPS, Provenance(policy.name, number, data_source()))
        episodes.append((task, [step.action for step in trajectory.transitions]))
    return episodes


def measure(episodes: list[Episode]) -> dict[str, Any]:
    """Play recorded actions in shops that remember nothing."""
    open_shop.cache_clear()
    for name in {task.room for task, _ in episodes}:
        open_shop(name)
    environment, num_steps, start = WebShopEnvironment(), 0, time.process_time()
    for task, actions in episodes:
        environment.reset(task)
        for action in actions:
            environment.step(action)
        num_steps += len(actions)
    seconds = time.process_time() - start
    return {"steps_per_second": num_steps / seconds, "num_steps": num_steps, "num_episodes": len(episodes)}


def write_files(num_products: int, folder: Path) -> None:
    """A catalogue in the original's files: shops of 1,000 products one behind the other, asins made different."""
    described = (folder / "items_ins_v2.json").open("w", encoding="utf-8")
    wishes = (folder / "items_human_ins.json").open("w", encoding="utf-8")
    with (folder / "items_shuffle.json").open("w", encoding="utf-8") as products, described, wishes:
        files = (products, described, wishes)
        for number, pieces in enumerate(_pieces(num_products)):
            for file, piece, opening in zip(files, pieces, "[{{", strict=True):
                file.write(f"{',' if number else opening}\n{piece}")
        for file, closing in zip(files, "]}}", strict=True):
            file.write(f"\n{closing}\n")


def _pieces(num_products: int) -> Iterator[tuple[str, str, str]]:
    for first in range(0, num_products, NUM_PRODUCTS):
        shop = generate(first, min(NUM_PRODUCTS, num_products - first))
        for record in shop.records:
            own = record["asin"]
            asin = f"{first // NUM_PRODUCTS:04d}{own}"
            yield (
                json.dumps({**record, "asin": asin}),
                f"{json.dumps(asin)}: {json.dumps(shop.attributes[own])}",
                f"{json.dumps(asin)}: {json.dumps(shop.instructions[own])}",
            )


def measure_catalogue(num_products: int) -> dict[str, Any]:
    """Open a catalogue as a user would, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        data, cache = Path(name) / "data", Path(name) / "cache"
        data.mkdir()
        write_files(num_products, data)
        settings = {**os.environ, "WEBSHOP_DATA": str(data), "DREAMGYM_CACHE": str(cache)}
        command = [sys.executable, __file__, "--inner"]
        inner = subprocess.run(command, env=settings, check=True, capture_output=True, text=True)
        figures: dict[str, Any] = json.loads(inner.stdout)
        sizes = {"files_mb": data, "shop_mb": cache}
        return figures | {
            label: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
            for label, folder in sizes.items()
        }


def open_catalogue() -> dict[str, Any]:
    """Build the user's shop, open it, and search in it."""
    start = time.perf_counter()
    shop = open_shop("original/full")
    built = time.perf_counter()
    open_shop.cache_clear()
    shop = open_shop("original/full")
    opened = time.perf_counter()
    queries = [
        shop.goal(number).text.partition(", and price")[0] for number in range(min(NUM_SEARCHES, shop.num_goals))
    ]
    took = []
    for query in queries:
        begun = time.perf_counter()
        found = shop.search(query)
        for asin in found[:10]:
            shop.product(asin)
        took.append(time.perf_counter() - begun)
    return {
        "num_products": shop.num_products,
        "num_goals": shop.num_goals,
        "build_seconds": built - start,
        "open_seconds": opened - built,
        "search_p50_ms": median(took) * 1000,
        "search_p95_ms": sorted(took)[int(0.95 * len(took))] * 1000,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Parse arguments, measure, publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument(
        "--products", type=int, default=0, help="of a catalogue to build; 1180000 is the original's size"
    )
    parser.add_argument("--output", type=Path, help="default: the standard output")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        json.dump(open_catalogue(), sys.stdout)
        return
    figures = {
        "environment": data_source(),
        "episodes": f"expert(noise={NOISE}), test shops, at most {MAX_STEPS} steps",
        "nouns": noun_source(),
        **measure(record(options.episodes)),
    }
    if options.products:
        figures["catalogue"] = measure_catalogue(options.products)
    command = f"dreamgym bench webshop-speed{f' --products {options.products}' if options.products else ''}"
    publish(figures, command, options.output)


if __name__ == "__main__":
    main()
