"""Pictures of records: each a Vega-Lite specification, and beside it the table that carries its meaning."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.reports.figures.figure import Drawn, Request
    from benchmark.reports.figures.outputs import Outputs
    from benchmark.system.progress import Reporter
    from results.together import Together


@dataclass(frozen=True)
class Kind:
    """One kind of picture.

    Attributes:
        heading: What it shows, as a heading.
        place: The module and function that draws it, imported when it is asked for.
    """

    heading: str
    place: str

    def load(self) -> Callable[[Together, Request], Drawn]:
        """Return the function that draws it."""
        module, _, name = self.place.partition(":")
        found: Callable[[Together, Request], Drawn] = getattr(importlib.import_module(module), name)
        return found


_HERE = "benchmark.reports.figures"

#: The kinds of pictures, in the order in which a reader wants them.
FIGURES: Mapping[str, Kind] = {
    "forest": Kind("Scores with intervals, beside published ones", f"{_HERE}.forest:forest"),
    "significance": Kind("Which differences are larger than the noise", f"{_HERE}.significance:significance"),
    "labels": Kind("Scores of each label", f"{_HERE}.labels:labels"),
    "layers": Kind("Layers of the encoder", f"{_HERE}.layers:layers"),
    "curve": Kind("Learning curves", f"{_HERE}.curve:curve"),
    "robustness": Kind("Scores on deformed audio", f"{_HERE}.robustness:robustness"),
    "search": Kind("The search for the probe", f"{_HERE}.search:search"),
    "confusion": Kind("What is taken for what", f"{_HERE}.confusion:confusion"),
    "calibration": Kind("Whether probabilities hold", f"{_HERE}.calibration:calibration"),
    "hardest": Kind("The tracks that are most wrong", f"{_HERE}.hardest:hardest"),
    "cost": Kind("What an encoder takes, and what it gives", f"{_HERE}.cost:cost"),
    "strategies": Kind("Pre-training strategies on resampled test items", f"{_HERE}.strategies:strategies"),
    "limited": Kind("Pre-training strategies with a part of train", f"{_HERE}.limited:limited"),
}


def figures_of(
    kind: str,
    together: Together,
    *,
    tasks: Sequence[str] = (),
    encoders: Sequence[str] = (),
    metric: str | None = None,
    home: Path | None = None,
    items: int = 20,
    report: Reporter | None = None,
    outputs: Outputs | None = None,
) -> Drawn:
    """Return the pictures of one kind of some records.

    Args:
        kind: A key of :data:`FIGURES`.
        together: The records.
        tasks: Ids, aliases, globs or groups of tasks; none for all.
        encoders: Names of encoders, with their variant, as records have them, or globs; none for all.
        metric: ``None`` for the primary metric of each task, ``all`` for every one, else the name of one.
        home: The data home; ``None`` for the default one.
        items: How many of the hardest tracks are shown.
        report: Where progress goes; nowhere without it.
        outputs: Keeps predictions from one call to the next, for those who ask for several kinds.

    Raises:
        UserError: No such kind, task, encoder or metric.
        RecordError: Never for a record that lacks what is drawn: :attr:`Drawn.notes` then says so.
    """
    from benchmark.reports.figures.choice import chosen, refuse_unknown_metric
    from benchmark.reports.figures.figure import Drawn, Request

    refuse_unknown_kind(kind)
    if not together.records and not together.curves:
        return Drawn((), (f"There are no records in {together.where}: run bench run -e ENCODER -t TASK first.",))
    some = chosen(together, tasks, encoders)
    if not some.records and not some.curves:
        return Drawn((), ("There is no record of these encoders on these tasks.",))
    refuse_unknown_metric(metric, some)
    drawn = FIGURES[kind].load()(some, Request(metric, home, items, report, outputs))
    if not drawn.figures and not drawn.notes:
        return replace(drawn, notes=(f"These records have nothing for a picture of the kind {kind}.",))
    return replace(drawn, notes=tuple(dict.fromkeys(drawn.notes)))


def refuse_unknown_kind(kind: str) -> None:
    """Refuse what is no kind of picture.

    Raises:
        UserError: The message names one that is near, or all.
    """
    if kind not in FIGURES:
        near = difflib.get_close_matches(kind, FIGURES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"name one of {', '.join(FIGURES)}"
        raise UserError(f"no picture is called {kind!r}", hint)
