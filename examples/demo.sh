#!/usr/bin/env bash
# The quickstart from beginning to end, each command shown before it runs. `make demo` calls it with the folder of the installed programs.
set -euo pipefail
bin=${1:-}
[ -z "$bin" ] || PATH="$(cd "$bin" && pwd):$PATH"
cd "$(dirname "$0")/.."
export CLIPCAP_OFFLINE=1  # nothing here needs a network

show() { printf '\n$ %s\n' "$*"; "$@"; }

started=$(date +%s)
show clipcap dataset add examples/food
show clipcap train recipes/quickstart.yaml

printf '\n# Pictures of the test split: none with this food, in these numbers, on this surface was trained on.\n'
held_out=$(python examples/score_food.py --list test)
# shellcheck disable=SC2086  # one path a line, none with a blank
show clipcap caption $(printf '%s\n' $held_out | head -12)

printf '\n# Of all held-out pictures, how many captions name exactly the right food?\n'
captions=$(mktemp)
trap 'rm -f "$captions"' EXIT
# shellcheck disable=SC2086
clipcap --quiet caption $held_out $(python examples/score_food.py --list val) --format jsonl >"$captions"
show python examples/score_food.py "$captions"
show clipcap eval quickstart --split test --report "${CLIPCAP_HOME:-.}/report.html"
printf '\nDone in %s s. Your own pictures: clipcap dataset add FOLDER; see README.md.\n' "$(($(date +%s) - started))"
