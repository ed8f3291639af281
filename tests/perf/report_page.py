"""How large a report page becomes, and how long it takes to make and to open: python tests/perf/report_page.py [N ...].

Invents records from the example ones under results/, renamed, with their predictions (40 and 500 by default). CPU
seconds throughout, since others may use the machine: of this process, and of the browser's that shows the page.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("chroma", "logmel", "mfcc")


def invent(folder: Path, count: int) -> None:
    """Write ``count`` records of invented encoders on invented tasks, made of the demo ones, with predictions."""
    from results import store, text

    originals = sorted((ROOT / "results" / "runs").glob("demo_*/*.json"))
    tasks = max(5, round(count**0.5 / 5) * 5)
    made = 0
    while made < count:
        number, place = divmod(made, tasks)
        source = originals[(place % 5) * len(SOURCES) + number % len(SOURCES)]
        content = json.loads(source.read_text(encoding="utf-8"))
        del content["sha256"]
        content["encoder"]["id"] = f"encoder-{number:03d}"
        content["task"]["id"] = f"{content['task']['id']}_{place // 5}"
        predictions = source.parent / content["predictions"]
        record = text.decode(json.dumps(content), source, checked=False)
        record = record.model_copy(update={"predictions": f"encoder-{number:03d}.{record.run_key[:12]}.parquet"})
        target = store.predictions_path(folder, record)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(predictions, target)
        store.write(folder, record)
        made += 1


def opening(page: Path) -> dict[str, float]:
    """Return CPU seconds of the browser's process until the page stands, and more of them for each of its tabs."""
    from tests.browser import browser, browser_path

    path = browser_path()
    if path is None:
        return {}
    with browser(path) as program:
        tab = program.new_context().new_page()
        session = tab.context.new_cdp_session(tab)
        session.send("Performance.enable")

        def spent() -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return next(each["value"] for each in metrics if each["name"] == "ProcessTime")

        tab.goto(page.as_uri())
        opened = spent()
        tabs = tab.get_by_role("tab").all()
        for each in tabs:
            each.click()
            tab.wait_for_timeout(1000)
        return {"opened": opened, "tab": (spent() - opened) / len(tabs)}


def main() -> None:
    """Print a line for each number of records."""
    from benchmark.reports.page.make import write_report
    from benchmark.system.progress import Silent

    counts = [int(word) for word in sys.argv[1:]] or [40, 500]
    print(f"{'records':>8} {'MB':>6} {'CPU s, first':>13} {'CPU s, again':>13} {'opened':>9} {'a tab':>6}")
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder, page = Path(name) / "results", Path(name) / "report.html"
            invent(folder, count)
            spent = []
            for _ in range(2):  # the first bundles Vega and compares pairs, which are kept
                before = time.process_time()
                written = write_report([], [folder], page, Silent(), home=Path(name) / "home")
                spent.append(time.process_time() - before)
            seen = opening(page)
            print(
                f"{written.records:>8} {written.size / 1e6:>6.2f} {spent[0]:>13.1f} {spent[1]:>13.1f} "
                f"{seen.get('opened', float('nan')):>9.2f} {seen.get('tab', float('nan')):>6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
