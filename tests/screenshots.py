"""Pictures of the report page for the docs: python tests/screenshots.py.

It makes the page of the example records under results/ and writes a picture of each view to docs/images.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
LARGEST = 150_000  # bytes of a picture

#: View, pixels of width and height, whether dark, and the suffix of the picture's name.
PICTURES = [
    ("Overview", 1100, 620, False, ""),
    ("Overview", 1100, 620, True, "-dark"),
    ("Overview", 390, 700, False, "-phone"),
    *((name, 1100, 760, False, "") for name in ("Tasks", "Labels", "Search", "Errors", "Cost", "Provenance")),
    *((name, 1100, 560, False, "") for name in ("Layers", "Learning curves", "Robustness")),
]


def main() -> int:
    """Write all pictures; return the status of the command."""
    from benchmark.reports.page.make import write_report
    from benchmark.system.progress import Silent
    from tests.browser import WORDS, browser, browser_path, opened

    path = browser_path()
    if path is None:
        print(WORDS, file=sys.stderr)
        return 2
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser(path) as program:
        page = Path(folder) / "report.html"
        write_report([], [ROOT / "results"], page, Silent())
        for name, width, height, dark, suffix in PICTURES:
            target = IMAGES / f"report-{name.lower().replace(' ', '-')}{suffix}.png"
            with opened(program, page, width=width, height=height, dark=dark) as watched:
                watched.tab(name)
                watched.page.wait_for_timeout(300)
                watched.page.screenshot(path=target)
            size = target.stat().st_size
            print(f"{target.relative_to(ROOT)}: {size:,} bytes")
            if size > LARGEST:
                print(f"{target} is larger than {LARGEST:,} bytes", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
