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

#: The address within the page, the picture's name, pixels of width and height, and whether dark.
PICTURES = [
    ("", "overview", 1100, 700, False),
    ("", "overview-dark", 1100, 700, True),
    ("", "overview-phone", 390, 700, False),
    ("task-demo_key", "tasks", 1100, 900, False),
    ("labels-demo_tags", "labels", 1100, 820, False),
    ("layers", "layers", 1100, 270, False),
    ("curves", "learning-curves", 1100, 270, False),
    ("robustness", "robustness", 1100, 270, False),
    ("search-demo_key", "search", 1100, 760, False),
    ("errors-demo_key", "errors", 1100, 900, False),
    ("errors-demo_key", "errors-phone", 390, 700, True),
    ("cost-phil_pitch", "cost", 1100, 640, False),
    ("record-demo_key.mfcc", "provenance", 1100, 700, False),
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
        for anchor, name, width, height, dark in PICTURES:
            target = IMAGES / f"report-{name}.png"
            with opened(program, page, anchor, width=width, height=height, dark=dark) as watched:
                watched.page.evaluate("document.querySelector('footer').hidden = true")  # it names a commit
                watched.settle()
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
