"""``bench report``: from records to the page's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError
from benchmark.reports.page.assemble import page_of
from benchmark.reports.page.charts import Charts
from benchmark.reports.page.findings import find_out
from benchmark.reports.page.reading import read_sound
from benchmark.reports.page.render import render, render_still
from benchmark.system.home import home_folder
from benchmark.system.progress import Reporter
from results.generated import write

PAGES = (".html", ".htm")


@dataclass(frozen=True)
class Written:
    """What became of a page.

    Attributes:
        output: Its file.
        changed: Whether the file holds anything else than before.
        size: Its bytes.
        records: How many records are on it.
        problems: A sentence for each file that was left out.
    """

    output: Path
    changed: bool
    size: int
    records: int
    problems: tuple[str, ...]


def write_report(
    named: Sequence[Path],
    folders: Sequence[Path],
    output: Path,
    report: Reporter,
    *,
    examples: Path | None = None,
    home: Path | None = None,
    script: bool = True,
) -> Written:
    """Write the page of records.

    Args:
        named: Files of records and folders of them; none for all of ``folders``.
        folders: Results folders.
        output: The page's file.
        report: Where progress goes.
        examples: A folder of examples, of which only what no other folder has is taken.
        home: The data home.
        script: Whether the page may have a script; without one its charts are pictures.

    Raises:
        UserError: The output is no page by its name, a folder does not exist, or the extra is not installed.
        RecordError: A path that is named does not exist or is no record, or the page cannot be written.
    """
    refuse_no_page(output)
    for folder in [] if named else folders:
        if not folder.is_dir() and examples is None:
            raise UserError(
                f"there is no results folder {folder}",
                "give --results, or run something first: bench run -e logmel -t demo_key",
            )
    sound = read_sound(named, folders, examples)
    where, charts = home_folder(home), Charts()
    page = page_of(sound, find_out(sound, where, report), charts)
    records = [*sound.together.records, *sound.together.curves]
    content = render(page, records, charts, where) if script else render_still(page)
    return Written(output, write(output, content), len(content.encode()), len(records), sound.problems)


def refuse_no_page(output: Path) -> None:
    """Refuse to write a page under the name of another format.

    Raises:
        UserError: The name ends in something else.
    """
    if output.suffix.lower() not in PAGES:
        raise UserError(
            f"{output}: the page is HTML", f"give a name that ends in .html, -o {output.with_suffix('.html')}"
        )
