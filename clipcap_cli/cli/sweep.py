"""`clipcap sweep`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.failures import INTERRUPTED
from clipcap_cli.cli.options import command, home, settings
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress
from clipcap_cli.recipe.differences import value_told
from clipcap_cli.words import duration

if TYPE_CHECKING:
    from clipcap_cli.evaluation.ranking import Place, Ranking

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(
    app,
    "sweep",
    examples=(
        "clipcap sweep quickstart --dataset food train.lr=1e-3,2e-3 mapper.kind=mlp,transformer train.select_by=cider",
        "clipcap sweep quickstart --random 8 --seed 1 --name rates train.lr=1e-4..1e-2 train.dropout=0.1..0.4",
    ),
    json="{sweep, sorted_by, data, pictures, trials: [{run, values: {KEY: VALUE}, score, low, high, "
    "against_best: {metric, first, second, difference, low, high, p, real}, steps, minutes}], failed: [{run, reason}], waiting: [RUN], "
    "conclusions: [SENTENCE]}; the best trial first. Low and high are null where the loss decides, against_best there and for the best trial.",
)
def sweep(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE|SWEEP", help="A file, the name of a shipped recipe, or a sweep to go on with.", autocompletion=completion.sweeps)
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY.SUB=A,B,…", help="Values to try; one value is the same for all trials. With --random also LOW..HIGH."),
    ] = None,
    random: Annotated[int | None, typer.Option("--random", metavar="N", min=1, help="Draw N different trials, instead of all combinations.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="S", help="With --random: the seed of the draw; 0 if nothing is said.")] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Of the sweep; its runs are NAME-01, NAME-02, …. Else RECIPE-sweep.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", metavar="NAME", help="The same as dataset.name=NAME.", autocompletion=completion.datasets)] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try trials again that have failed.")] = False,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    """Train a recipe with several settings, one after another, and say which came out best and whether that is sure.

    The same line again, or the sweep's name, goes on where it was stopped; of one that has finished it shows the table.
    """
    from clipcap_cli.training.grid import Draw, plan_trials
    from clipcap_cli.training.launching import started_together
    from clipcap_cli.training.sweeps import check_recipe_is_meant

    if started_together() > 1:
        raise typer.BadParameter("a sweep trains one run after another, each in one process; of several processes each would begin its own")
    if seed is not None and random is None:
        raise typer.BadParameter("it needs --random", param_hint="--seed")
    draw = Draw(random, seed or 0) if random else None
    asked = [*(values or ()), *([f"dataset.name={dataset}"] if dataset is not None else [])]
    if asked or draw or name:
        check_recipe_is_meant(recipe, home())
        plan_trials(recipe, asked, draw)  # before torch is loaded: a mistake is told at once

    from clipcap_cli.evaluation.metrics.overlap import scorer
    from clipcap_cli.evaluation.ranking import rank
    from clipcap_cli.training.sweep import find_sweep, run_sweep
    from clipcap_cli.training.sweeps import open_sweep

    settings.kept = "Trials that have finished are kept, and checkpoints; type the same line to go on."
    with progress() as events:
        found = find_sweep(recipe, asked, draw, sweep_name=name, home=home(), events=events)
        stopped = run_sweep(found, retry_failed=retry_failed, device=device, events=events, scorer=scorer)
        ranking = None if stopped else rank(open_sweep(found.name, found.home), device=device, events=events)
    if stopped is not None:
        out.note(f"{stopped.name}: stopped at step {stopped.info.steps:,} of {stopped.info.planned_steps:,}, with a checkpoint.")
        out.hint(f"clipcap sweep {found.name}")
        raise typer.Exit(INTERRUPTED)
    assert ranking is not None
    out.result(ranking.as_dict())
    _show(ranking)
    _tell_failed(ranking)


def _show(ranking: Ranking) -> None:
    on = f" on {ranking.data} ({ranking.pictures:,} pictures)" if ranking.data else ""
    out.text(f"{ranking.sweep}: {len(ranking.places)} trials by {ranking.by}{on}")
    out.text()
    keys = list(dict.fromkeys(key for place in ranking.places for key in place.values))
    out.table(
        ("run", *keys, ranking.by, "95 % interval", "behind the best", "p", "", "steps", "time"),
        [
            (
                place.run,
                *(value_told(place.values[key]) for key in keys),
                None if place.score is None else f"{place.score:.3f}",
                place.interval and f"{place.interval.low:.3f} to {place.interval.high:.3f}",
                *_against(place),
                f"{place.steps:,}",
                duration(place.minutes * 60),
            )
            for place in ranking.places
        ],
        right=(ranking.by, "p", "steps", "time"),
    )
    out.text()
    for told in ranking.conclusions:
        out.text(f"{told}.")


def _against(place: Place) -> tuple[str | None, str | None, str]:
    difference = place.behind
    if difference is None:
        return None, None, ""
    told = f"{difference.difference:+.3f} ({difference.interval.low:+.3f} to {difference.interval.high:+.3f})"
    return told, f"{difference.p:.4f}", "real" if difference.is_real else ""


def _tell_failed(ranking: Ranking) -> None:
    """List the trials that have failed.

    Raises:
        PartialError: there are some.
    """
    if not ranking.failures:
        if ranking.places:
            out.hint(f"clipcap eval {ranking.places[0].run}")
        return
    from clipcap_cli.errors import PartialError

    lines = "".join(f"\n  {run}: {reason}" for run, reason in ranking.failures.items())
    raise PartialError(f"trials that have failed: {len(ranking.failures)}{lines}", hint=f"Try them again with `clipcap sweep {ranking.sweep} --retry-failed`.")
