"""``python -m benchmark``: the command ``bench``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still being loaded is told as it is later."""
    try:
        from benchmark.cli.main import main as run
    except KeyboardInterrupt:
        from benchmark.system.terminal import display

        display("bench: interrupted before anything was begun", error=True)
        exec("")  # see benchmark.cli.main: else -m would end by SIGINT in place of this status
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
