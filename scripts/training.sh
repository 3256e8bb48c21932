#!/usr/bin/env bash
# The presets of PPO and GRPO in the dream alone, side by side, and what they brought in the real engine: about an hour on
# two cores. Writes assets/results/training-alfworld-first.json, or what --output names. Called by the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."
work=build/training

if [ -e $work ]; then
    echo "$work holds an earlier training: move or remove it to start anew, or go on with its runs: dreamgym runs resume" >&2
    exit 1
fi
mkdir -p build
cp -r assets/demo $work
rm -rf $work/runs

train() { # PRESET
    .venv/bin/dreamgym train --config "dreamgym/presets/$1.toml" --set run.threads=1 --slots 2 --foreground --workspace $work
}
train nano-dream-ppo &
ppo=$!
trap 'kill $ppo 2> /dev/null || true' EXIT # where the other one was stopped or failed
train nano-dream-grpo
wait $ppo
.venv/bin/dreamgym study training dream-ppo-01 dream-grpo-01 --workspace $work --temperature 1.0 \
    --output assets/results/training-alfworld-first.json "$@"
