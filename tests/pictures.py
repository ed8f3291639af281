"""Draw the pictures of docs/architecture.md: packages and layers, from the contracts of pyproject.toml, and a run.

python tests/pictures.py            writes docs/layers.svg and docs/run.svg
python tests/pictures.py --layers   prints the picture of the layers
"""

from __future__ import annotations

import ast
import sys
import textwrap
import tomllib
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]

WIDTH, EDGE, GAP, PAD, LINE = 760, 20, 22, 9, 16  # pixels
LETTER = 6.4  # the width of one at 12 pixels, on average

#: What a run goes through: rows of modules, and what each makes of what it is given.
RUN = (
    (("benchmark.cli.run", "names and options, from the command line"), ("benchmark.api", "the same, from Python")),
    (
        ("benchmark.encoders.registry", "names to encoders"),
        ("tasks.registry", "names to tasks"),
        ("benchmark.jobs.items", "the items of the tasks that are there"),
    ),
    (("benchmark.jobs.plan", "a Job of each encoder on each task, with every choice made"),),
    (("benchmark.jobs.embed", "1. embed: audio to embeddings in the store, each space once"),),
    (("benchmark.jobs.splits", "2. splits: embeddings and targets of train and valid; test stays sealed"),),
    (("benchmark.jobs.select", "3. select: layer, settings and probes, by train and valid"),),
    (("benchmark.jobs.evaluate", "4. evaluate: test is opened, once: scores, intervals, floors"),),
    (("benchmark.jobs.record", "the record and the predictions, written by results.store"),),
)  # fmt: skip


def contracts() -> list[list[list[str]]]:
    """Return the layers of each contract in pyproject.toml, as rows of modules from the top down."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return [
        [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]
        for contract in settings["contracts"]
        if contract["type"] == "layers"
    ]


def what_it_is(module: str) -> str:
    """Return the first sentence of a module's docstring."""
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0].replace("``", "").rstrip(".")


def rows_of(modules: list[list[str]]) -> list[list[tuple[str, str]]]:
    """Return rows of modules with what each is."""
    return [[(module, what_it_is(module)) for module in row] for row in modules]


def drawn(rows: list[list[tuple[str, str]]], top: float, edge: float) -> tuple[list[str], float]:
    """Return the boxes of ``rows`` below each other with arrows between them, and where the last one ends."""
    shapes, middle = [], WIDTH / 2
    for i, row in enumerate(rows):
        width = (WIDTH - 2 * edge - (len(row) - 1) * GAP / 2) / len(row)
        texts = [textwrap.wrap(text, int((width - 2 * PAD) / LETTER)) for _, text in row]
        height = 2 * PAD + LINE * (1 + max(map(len, texts)))
        if i:
            shapes.append(f'<path class="arrow" d="M{middle:g} {top - GAP + 2:g}V{top - 3:g}"/>')
        for j, ((name, _), lines) in enumerate(zip(row, texts, strict=True)):
            left = edge + j * (width + GAP / 2)
            shapes.append(f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="6"/>')
            shapes.append(f'<text class="name" x="{left + PAD:g}" y="{top + PAD + 12:g}">{escape(name)}</text>')
            for k, line in enumerate(lines, 1):
                shapes.append(f'<text x="{left + PAD:g}" y="{top + PAD + 12 + k * LINE:g}">{escape(line)}</text>')
        top += height + GAP
    return shapes, top - GAP


def picture(title: str, shapes: list[str], height: float) -> str:
    """Return the file of a picture, readable on a light and on a dark page."""
    style = (
        "text{font:12px sans-serif;fill:#333}.name{font:bold 13px monospace;fill:#111}"
        "rect{fill:#eef1fb;stroke:#7986cb}.page{fill:#fff;stroke:none}.frame{fill:#fafafa;stroke:#bbb}"
        ".arrow{stroke:#555;fill:none;marker-end:url(#head)}"
    )
    size = 'markerWidth="8" markerHeight="8" refX="5" refY="3"'
    head = f'<marker id="head" {size} orient="auto"><path d="M0 0L6 3L0 6z"/></marker>'
    box = f'viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f"<title>{title}</title>", f"<style>{style}</style>", f"<defs>{head}</defs>",
        f'<rect class="page" width="{WIDTH}" height="{height:g}" rx="6"/>', *shapes, "</svg>\n",
    ])  # fmt: skip


def layers() -> str:
    """Return the picture of the packages and of the layers of benchmark."""
    (packages, inside) = contracts()
    top = 2 * EDGE
    boxes, end = drawn(rows_of([row for row in inside if row != ["benchmark.__main__"]]), top + EDGE, 2 * EDGE)
    below, last = drawn(rows_of(packages[1:]), end + EDGE + GAP, EDGE)
    frame = f'<rect class="frame" x="{EDGE}" y="{EDGE}" width="{WIDTH - 2 * EDGE}" height="{end:g}" rx="6"/>'
    name = f'<text class="name" x="{EDGE + PAD}" y="{EDGE + PAD + 12}">{packages[0][0]}</text>'
    arrow = f'<path class="arrow" d="M{WIDTH / 2:g} {end + EDGE + 2:g}V{end + EDGE + GAP - 3:g}"/>'
    return picture(
        "Packages and layers: each imports those below it", [frame, name, *boxes, arrow, *below], last + EDGE
    )


def run() -> str:
    """Return the picture of a run."""
    boxes, end = drawn([list(row) for row in RUN], EDGE, EDGE)
    return picture("What happens in a run", boxes, end + EDGE)


PICTURES = {"layers.svg": layers, "run.svg": run}


if __name__ == "__main__":
    if sys.argv[1:] == ["--layers"]:
        sys.exit(print(layers(), end=""))
    for name, draw in PICTURES.items():
        (ROOT / "docs" / name).write_text(draw(), encoding="utf-8")
