"""Whether a run can be made again here and now, and whether those that were made again came out the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from clipcap_cli.captioner.lm_folders import find_folder
from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.encoders.precision import choose_device, choose_precision
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import ClipcapError, InputError, StoreError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.training import surroundings
from clipcap_cli.training.differences import Difference, decisive, differences, told
from clipcap_cli.training.launching import speaks, started_together
from clipcap_cli.training.lock import Lock, data_facts, encoder_facts, read_lock, start_facts
from clipcap_cli.training.runs import Run, list_runs
from clipcap_cli.training.sameness import Sameness, sameness
from clipcap_cli.training.train import train
from clipcap_cli.training.validation import ScorerFactory


@dataclass(frozen=True)
class Verification:
    """What was found about a run.

    Attributes:
        differences: between what it was made of and on, and what there is here and now.
        lost: what cannot be had any more, each a sentence.
        made_again: the runs that repeat it, and how alike they came out.
    """

    differences: tuple[Difference, ...]
    lost: tuple[str, ...]
    made_again: Mapping[str, Sameness]

    @property
    def can_be_made_again(self) -> bool:
        """Whether the same data and weights are here; the last digits may differ all the same."""
        return not self.lost and not decisive(self.differences)


def verify_run(run: Run, *, device: str = "auto", events: Listener = silent) -> Verification:
    """Compare a run's lock with what there is now, and the run with those that were made again from it. Nothing is trained, embedded or changed.

    Raises:
        InputError: it has no lock.
        StoreError: its lock, or a bundle, is damaged.
    """
    then = _lock_of(run)
    now, lost = _now(run, then, device, events)
    again = [other for other in list_runs(run.home) if other.name != run.name and _repeats(other, run)]
    return Verification(tuple(differences(then, now)), tuple(lost), {other.name: sameness(run, other) for other in again})


def train_again(
    run: Run, *, stop_after: int | None = None, device: str = "auto", events: Listener = silent, scorer: ScorerFactory | None = None
) -> tuple[Run, Sameness | None]:
    """Make a run again as a new one. What differs now is said before it begins, and afterwards how alike the two came out.

    Returns:
        The new run, and how alike; None where one of the two did not come to its end.

    Raises:
        InputError, MissingError, StoreError: as `train`.
    """
    then = read_lock(run.path)
    if then is not None and speaks():
        now, lost = _now(run, then, device, events)
        found = differences(then, now)
        for sentence in lost:
            events(Note(sentence, "warning"))
        if decisive(found):
            events(Note(f"{run.name} cannot come out the same: {told(decisive(found))}", "warning"))
        if rest := [difference for difference in found if not difference.decides]:
            events(Note(f"the last digits may differ from those of {run.name}: {told(rest)}", "warning"))
        if not found and not lost:
            events(Note(f"data, weights, packages and machine are those of {run.name}"))
    again = train(run.recipe, made_again=run.name, stop_after=stop_after, home=run.home, device=device, events=events, scorer=scorer)
    if not speaks() or again.info.status != "finished" or run.info.status != "finished":
        return again, None
    alike = sameness(run, again)
    events(Note(f"{again.name} and {run.name}: {alike}"))
    return again, alike


def _lock_of(run: Run) -> Lock:
    lock = read_lock(run.path)
    if lock is None:
        raise InputError(f"run {run.name!r} has no lock: it was made by a clipcap that wrote none", where=str(run.path), hint="Train it again to have one.")
    return lock


def _repeats(other: Run, run: Run) -> bool:
    try:
        lock = read_lock(other.path)
        return lock is not None and lock.made_again == run.name and other.info.status == "finished"
    except ClipcapError:  # a damaged run repeats nothing; `cache verify` names it
        return False


def _now(run: Run, then: Lock, device: str, events: Listener) -> tuple[Lock, list[str]]:
    """What a lock taken now would say, and what is lost; of that, the old facts are kept."""
    recipe, home, lost = run.recipe, run.home, []
    data, eyes, start = then.data, then.encoder, then.start
    dataset = None
    try:
        dataset = open_dataset(recipe.dataset.name, home=home, version=recipe.dataset.version) if recipe.dataset.name else None
        data = data_facts(recipe, dataset)
    except ClipcapError as error:
        dataset = None
        lost.append(_lost("the data", error))
    try:
        encoder = load_encoder(recipe.encoder.name, home=home, device=device, events=events)
        if dataset is not None or not recipe.dataset.name:
            eyes = encoder_facts(recipe, dataset, encoder, home)
            if eyes.get("rows", 0) < then.encoder.get("rows", 0):  # those that are missing will be made again
                events(Note("some pictures have no embedding any more: they would be embedded again"))
                eyes |= {name: then.encoder[name] for name in ("rows", "rows_sha256")}
    except ClipcapError as error:
        lost.append(_lost("the encoder", error))
    try:
        start = start_facts(recipe, find_folder(recipe.language_model.name, home=home, events=events), home)
    except ClipcapError as error:
        lost.append(_lost("what it starts from", error))
    where = choose_device(device)
    machine = surroundings.machine(where, choose_precision(recipe.train.precision, where)[0], started_together())
    now = replace(then, data=data, encoder=eyes, start=start, machine=machine, packages=surroundings.packages(), git=surroundings.git_states())
    return now, lost


def _lost(what: str, error: ClipcapError) -> str:
    return f"{what} is {'damaged' if isinstance(error, StoreError) else 'gone'}: {error}"
