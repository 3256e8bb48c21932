#!/usr/bin/env bash
# The presets of PPO and GRPO in the dream alone, side by side, and what they brought in the real engine: about an hour on
# two cores. Writes assets/results/training-alfworld-first.json, or what --output names. Called by the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."
work=build/training
measure=(.venv/bin/dreamgym study training dream-ppo-01 dream-grpo-01 --workspace $work
    --output assets/results/training-alfworld-first.json)

if [ -e $work ]; then
    echo "$work holds an earlier training: move or remove it to start anew; or go on with its runs (dreamgym runs resume" \
        "ID --workspace $work), and then measure them: ${measure[*]}" >&2
    exit 1
fi
# The demo's episodes are what dreams are shown; its own run stays behind.
mkdir -p build
cp -r assets/demo $work
rm -rf $work/runs

train=(.venv/bin/dreamgym train --set run.threads=1 --slots 2 --foreground --workspace $work)
"${train[@]}" --config dreamgym/presets/nano-dream-ppo.toml &
ppo=$!
trap 'kill $ppo 2> /dev/null && wait $ppo || true' EXIT # where the other one was stopped or failed
"${train[@]}" --config dreamgym/presets/nano-dream-grpo.toml
wait $ppo
"${measure[@]}" "$@"
