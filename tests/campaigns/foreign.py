"""Foreign modules in the current folder: files named as every module that could be imported, none of which may run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.campaigns.trial import bench, run
from tests.campaigns.world import COMMANDS, World

MORE: dict[str, tuple[str, ...]] = {
    "tasks": ("tasks",),
    "encoders check": ("encoders", "check", "logmel"),
    "encoders fetch": ("encoders", "fetch", "musicnn-msd", "--home", "home"),
    "data verify": ("data", "verify", "demo_key", "--home", "home"),
}


def foreign(world: World, scratch: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (command, outcome, what was run) of commands in a folder full of such files."""
    from benchmark.encoders.neighbours import brought

    names = sorted((sys.stdlib_module_names | brought()) - set(sys.builtin_module_names) - {"benchmark"})
    commands = {name: COMMANDS[name][0] for name in world.expected} | MORE
    script = str(Path(sys.executable).with_name("bench"))
    for name, command in commands.items():
        for start in ("bench", "python -m benchmark"):
            before = f"before-{name}" if name in world.expected else "base"
            place = Path(shutil.copytree(world.folder / before, scratch / f"foreign-{name}-{start}".replace(" ", "-")))
            for module in names:
                (place / f"{module}.py").write_text(f"open('witness', 'a').write('{module} ')\n", encoding="utf-8")
            words = [script, *command] if start == "bench" else [sys.executable, "-m", *bench()[3:], *command]
            ended = run(words, place, environment={"PYTHONPATH": ""})
            ran = (place / "witness").read_text() if (place / "witness").exists() else ""
            yield f"{name} ({start})", "EXECUTED" if ran else ended.word, ran or ended.last
            shutil.rmtree(place)
