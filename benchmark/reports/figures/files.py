"""Pictures as files: PDF, SVG and PNG of a size in millimetres, the specification as JSON, the numbers as CSV."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.reports.figures import theme
from benchmark.reports.figures.figure import Drawn, Figure
from benchmark.reports.figures.specs import Spec, sized
from benchmark.reports.labels import find_record
from benchmark.system.extras import install_command
from results.files import replace_file
from results.markdown import csv_cell, folded
from results.record import Record
from results.together import Place, Together, place_of

FORMATS = (".pdf", ".svg", ".png", ".json", ".csv")
INCH = 96.0  # pixels of a specification in an inch: letters of 11 pixels are then 8 points high
POINTS = 72.0
#: Inches in each unit of a width.
UNITS = {"mm": 1 / 25.4, "cm": 1 / 2.54, "in": 1.0, "pt": 1 / POINTS, "px": 1 / INCH}
NARROWEST, WIDEST = 150.0, 4000.0
TRIES = 4  # of several panels, whose axes take a part of the width that is known when they are drawn


@dataclass(frozen=True)
class Look:
    """What a file of a picture looks like.

    Attributes:
        width: Pixels of the specification, 96 to an inch.
        dpi: Dots an inch of a PNG.
        dark: For a dark page.
        title: Whether its title stands above it.
    """

    width: float
    dpi: int
    dark: bool
    title: bool


def pixels(width: str) -> float:
    """Return a width in pixels, 96 to an inch.

    >>> round(pixels("85mm"), 1), pixels("6.5in")
    (321.3, 624.0)

    Raises:
        UserError: It is no width, or one that no picture fits into.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(mm|cm|in|pt|px|)\s*", width.lower())
    if found is None:
        raise UserError(
            f"--width {folded(width)!r} is no width", "give a number and mm, cm, in, pt or px, such as 85mm"
        )
    value = float(found[1]) * UNITS[found[2] or "px"] * INCH
    if not NARROWEST <= value <= WIDEST:
        raise UserError(f"--width {folded(width)} is out of range", "give one from 40mm to 1050mm, such as 85mm")
    return value


def refuse_format(output: Path) -> None:
    """Refuse a file whose name ends in no format that there is.

    Raises:
        UserError: It does, or it is a folder.
    """
    if output.is_dir() or output.suffix.lower() not in FORMATS:
        stem = output / "picture" if output.is_dir() else output.with_suffix("") if output.name else Path("picture")
        raise UserError(
            f"-o {output}: its name says no format", f"end it in {', '.join(FORMATS)}, such as -o {stem}{FORMATS[0]}"
        )


def named_records(paths: Sequence[Path]) -> Together:
    """Return the records of files.

    Raises:
        UserError: What is no record, or two of one encoder on one task.
        RecordError: A record cannot be read.
    """
    records: dict[Place, Record] = {}
    curves: list[Record] = []
    folders: dict[Place, Path] = {}
    origins: dict[Place, Path] = {}
    for path in paths:
        if path.suffix != ".json":
            from results.store import refuse_other_file

            refuse_other_file(path)
            raise UserError(
                f"{path} is not the JSON file of a record", "name one, such as results/runs/TASK/ENCODER.json"
            )
        record, folder = find_record(str(path), None, Path())
        place = place_of(record)
        if record.curve is not None:
            curves.append(record)
        elif place in records and records[place].run_key != record.run_key:
            raise UserError(
                f"{origins[place]} and {path} are two runs of {record.name} on {record.task.id}", "draw one at a time"
            )
        else:
            records[place], folders[place], origins[place] = record, folder, path
    where = ", ".join(str(path) for path in paths)
    return Together(tuple(records.values()), folders, frozenset(), where, tuple(curves))


def paths_of(drawn: Drawn, kind: str, output: Path) -> list[tuple[Figure, Path]]:
    """Return each picture with its file: ``output``, or of several ``output`` with the picture's name behind its stem.

    Raises:
        UserError: There is none to draw; the message says why.
    """
    if not drawn.figures:
        why = "\n".join(f"  {note}" for note in drawn.notes)
        raise UserError(
            f"there is nothing to draw for 'bench plot {kind}'", "name other records, or make what they lack",
            why.splitlines(),
        )  # fmt: skip
    if len(drawn.figures) == 1:
        return [(drawn.figures[0], output)]
    return [
        (figure, output.with_name(f"{output.stem}-{figure.name.removeprefix(f'{kind}-')}{output.suffix}"))
        for figure in drawn.figures
    ]


def write_figure(figure: Figure, path: Path, look: Look) -> None:
    """Write a picture, whole or not at all.

    Raises:
        UserError: What draws it is not installed, or the file cannot be written.
    """
    form = path.suffix.lower()
    if form == ".csv":
        content = table_of(figure).encode()
    elif form == ".json":
        content = (json.dumps(whole_spec(figure, look), ensure_ascii=False, indent=1) + "\n").encode()
    else:
        content = rendered(figure, form, look)
    try:
        replace_file(path, content)
    except OSError as error:
        raise UserError(f"{path} was not written: {error.strerror or error}", "Name another file with -o") from error


def table_of(figure: Figure) -> str:
    """Return the numbers of a picture as CSV, in full, with no text that a spreadsheet takes for a formula."""
    texts = figure.rows.map(lambda value: csv_cell(value) if isinstance(value, str) else value)
    content: str = texts.to_csv(index=False)
    return content


def whole_spec(figure: Figure, look: Look) -> Spec:
    """Return a specification with its width, colours and, where that is wanted, its title."""
    found = sized(figure.spec, look.width) | {"config": theme.config(dark=look.dark, ground=True)}
    return found | {"title": folded(figure.title)} if look.title else found


def rendered(figure: Figure, form: str, look: Look) -> bytes:
    """Return a picture as PDF, SVG or PNG. Nothing is fetched.

    Raises:
        UserError: vl-convert is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise UserError(
            f"a picture as {form} needs vl-convert ({error}); .json and .csv do not",
            f"install it:\n  {install_command('report')}",
        ) from None
    svg = _fitted(vl_convert, figure, look)
    if form == ".png":
        return bytes(vl_convert.svg_to_png(svg, scale=POINTS / INCH, ppi=look.dpi))
    if form == ".pdf":
        return bytes(vl_convert.svg_to_pdf(_in_points(svg, "")))
    return _in_points(svg, "pt").encode()


def _fitted(vl_convert: Any, figure: Figure, look: Look) -> str:
    """Return a picture as SVG, drawn again where its panels do not have the width yet."""
    spec, inner = whole_spec(figure, look), look.width
    svg = ""
    for _ in range(TRIES):
        svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
        wide = _size(svg)[0]
        if "vconcat" not in spec or abs(wide - look.width) <= 1 or inner < NARROWEST / 2:
            break
        inner = max(spec["vconcat"][0]["width"] + look.width - wide, NARROWEST / 2)
        spec = spec | {"vconcat": [{**panel, "width": inner} for panel in spec["vconcat"]]}
    return svg


def _size(svg: str) -> tuple[float, float]:
    found = re.search(r'<svg[^>]*? width="([\d.]+)" height="([\d.]+)"', svg)
    assert found is not None
    return float(found[1]), float(found[2])


def _in_points(svg: str, unit: str) -> str:
    """Return an SVG whose size is that on paper; its inside stays, which is what the viewBox is of."""
    wide, high = (f"{size * POINTS / INCH:g}{unit}" for size in _size(svg))
    return re.sub(r'(<svg[^>]*?) width="[\d.]+" height="[\d.]+"', rf'\1 width="{wide}" height="{high}"', svg, count=1)
