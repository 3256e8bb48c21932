#!/usr/bin/env bash
# A warm start, PPO and GRPO in the dream alone, and what they brought in the real engine: about 80 minutes on two cores.
# Writes assets/results/training-alfworld-first.json, or what --output names. Called by the Makefile.
#
# The warm start imitates a scripted expert that acts at random in 40 of 100 steps, so that its rollouts differ: the
# bundled policy is almost deterministic, and RL has little to choose from.
set -euo pipefail
cd "$(dirname "$0")/.."
work=build/training
start=$work/runs/real-sft-01/checkpoints/step-2/policy

train() { # PRESET SECTION.KEY=VALUE...
    local preset=$1 settings=()
    shift
    for each in "$@" run.threads=1 evaluation.temperature=1.0; do settings+=(--set "$each"); done
    .venv/bin/dreamgym train --config "dreamgym/presets/$preset.toml" "${settings[@]}" --foreground --workspace $work
}

rl=(policy.model=$start policy.reward=dense policy.idle_penalty=0.2 run.iterations=9
    optimiser.learning_rate=2e-4 optimiser.gamma=0.8 optimiser.batch_size=16 optimiser.micro_batch_size=4 trust.kl=0.0
    evaluation.every=5 evaluation.num_tasks=32 checkpoints.every=3)

if [ -e $work ]; then
    echo "$work holds an earlier training: move or remove it to start anew, or go on with its runs: dreamgym runs resume" >&2
    exit 1
fi
.venv/bin/dreamgym collect --policy expert --noise 0.4 --episodes 800 --workspace $work
train nano-sft optimiser.imitate=all optimiser.learning_rate=1e-4 run.iterations=2 evaluation.every=2
train nano-dream-ppo "${rl[@]}" optimiser.epochs=1 optimiser.gae_lambda=0.8 optimiser.critic_warmup=0
train nano-dream-grpo "${rl[@]}" optimiser.epochs=2 optimiser.credit=step
.venv/bin/dreamgym study training dream-ppo-01 dream-grpo-01 --workspace $work --temperature 1.0 \
    --output assets/results/training-alfworld-first.json "$@"
