"""``benchmark.compare`` and ``benchmark.plot``: what is looked at in a notebook, or at a prompt of Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.system.home import examples_folder, results_folder
from benchmark.system.progress import Silent
from results import html
from results.comparison import Comparison
from results.together import Together, read_together

if TYPE_CHECKING:
    from benchmark.reports.figures.figure import Figure

Folders = str | Path | Iterable[str | Path]
WIDTH = 640.0  # pixels of a picture in a notebook
DPI = 120
ROWS = 20  # of the numbers of a picture, where these are shown in its place


def compare(
    first: str,
    second: str,
    tasks: str | Sequence[str] = (),
    *,
    results: Folders | None = None,
    metric: str | None = None,
    seed: int = 0,
) -> Comparison:
    """Return how two encoders differ on the tasks that both have records of, as ``bench compare`` tells it.

    Args:
        first: Name of an encoder in its records, with its variant (``logmel``, ``logmel+quick``).
        second: Name of another.
        tasks: Ids, aliases, globs or groups; none for every task that both have.
        results: A results folder, or several; by default that of ``bench``.
        metric: This metric alone; by default all, of which the primary ones are corrected for.
        seed: Seed of the permutations, and of blocks of items where these are many.

    Raises:
        UserError: A name that fits nothing, or records that must not be compared.
        RecordError: Records or predictions that are missing or cannot be read.
    """
    from benchmark.reports.compare import compare_records

    wanted = [tasks] if isinstance(tasks, str) else list(tasks)
    return compare_records(first, second, wanted, _together(results), metric, None, seed, Silent())


@dataclass(frozen=True)
class Pictures:
    """Pictures of records, which a notebook shows; ``notes`` say what could not be drawn, and why."""

    figures: tuple[Figure, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        """Return a line for each picture, with what is to be seen, and the notes."""
        return "\n".join([*(f"{each.title}: {each.description}" for each in self.figures), *self.notes])

    def _repr_html_(self) -> str:
        """Return the pictures as SVG in HTML, with title and description of each, and the notes."""
        parts = []
        for each in self.figures:
            caption = f"<figcaption>{html.text(each.title)}. {html.text(each.description)}</figcaption>"
            parts.append(f'<figure style="background: white; color: black">{_drawn(each)}{caption}</figure>')
        return "".join([*parts, *(f"<p>{html.text(note)}</p>" for note in self.notes)])

    @property
    def specs(self) -> list[Mapping[str, Any]]:
        """The Vega-Lite specifications: ``altair.Chart.from_dict(pictures.specs[0])`` is a chart to go on with."""
        from benchmark.reports.figures import theme
        from benchmark.reports.figures.specs import sized

        return [{**sized(each.spec, WIDTH), "config": theme.config(dark=False)} for each in self.figures if each.spec]


def _drawn(figure: Figure) -> str:
    """Return a picture as SVG; where it cannot be drawn here, or is a table by itself, its numbers."""
    from benchmark.reports.figures.files import Look, rendered

    problem = []
    if figure.spec:
        try:
            svg = rendered(figure, ".svg", Look(WIDTH, DPI, dark=False, title=False)).decode()
            return svg[svg.index("<svg") :]
        except UserError as error:  # vl-convert is not installed
            problem = [str(error)]
    return html.table(list(figure.rows.columns), figure.rows.head(ROWS).itertuples(index=False), notes=problem)


def plot(
    kind: str,
    *,
    results: Folders | None = None,
    tasks: str | Sequence[str] = (),
    encoders: str | Sequence[str] = (),
    metric: str | None = None,
) -> Pictures:
    """Return pictures of records, as ``bench plot`` writes them to files; a notebook shows them.

    Args:
        kind: ``forest``, ``significance``, ``labels``, ``layers``, ``curve``, ``robustness``, ``search``,
            ``confusion``, ``calibration``, ``hardest`` or ``cost``.
        results: A results folder, or several; by default that of ``bench``.
        tasks: Ids, aliases, globs or groups; none for all.
        encoders: Names of encoders in their records; none for all.
        metric: ``all``, or the name of one; by default the primary one of each task.

    Raises:
        UserError: There is no such kind, task, encoder or metric.
        RecordError: A record cannot be read.
    """
    from benchmark.reports.figures import figures_of

    drawn = figures_of(
        kind,
        _together(results, curves=True),
        tasks=[tasks] if isinstance(tasks, str) else list(tasks),
        encoders=[encoders] if isinstance(encoders, str) else list(encoders),
        metric=metric,
    )
    return Pictures(drawn.figures, drawn.notes)


def _together(results: Folders | None, *, curves: bool = False) -> Together:
    """Return the records of folders; by default one's own, in a checkout of this package beside its examples."""
    if results is None:
        return read_together([results_folder()], examples_folder(), curves=curves)
    folders = [Path(results)] if isinstance(results, str | Path) else [Path(each) for each in results]
    return read_together(folders, curves=curves)
