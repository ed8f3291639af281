"""Some clips of the ``demo`` collection: what a run of a few items needs, in a folder of their own.

The manifest there names all clips, so that a sample is drawn of the whole; audio lies beside it for those that were
asked for. A clip's samples depend on the clip alone, so that they are the very bytes of the whole collection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from tasks.collections.demo.collection import VERSION, manifest_text, plan, render
from tasks.collections.demo.synthesis import SAMPLE_RATE
from tasks.errors import TaskError


def annotate(home: Path) -> Path:
    """Return the path of a manifest of all clips under ``home``; the audio of none need be there.

    Raises:
        TaskError: It cannot be written there.
    """
    whole = home / "collections" / f"demo-{VERSION}" / "manifest.csv"
    if whole.is_file():
        return whole
    manifest = home / "collections" / f"demo-{VERSION}-some" / "manifest.csv"
    text = manifest_text(plan())
    try:
        if not manifest.is_file() or manifest.read_text(encoding="utf-8") != text:
            (manifest.parent / "audio").mkdir(parents=True, exist_ok=True)
            _replace(manifest, lambda path: path.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise _unwritable(manifest.parent, error) from error
    return manifest


def prepare_some(home: Path, ids: Collection[str], progress: Callable[[int, int], None] | None = None) -> None:
    """Render the clips ``ids`` that are not beside the manifest of :func:`annotate` yet.

    Args:
        home: Folder that holds ``collections``.
        ids: Ids of clips.
        progress: Called with (clips done, clips to render) after each clip.

    Raises:
        TaskError: They cannot be written there.
    """
    folder = annotate(home).parent
    lacking = [(clip, folder / clip.row()["path"]) for clip in plan() if clip.track_id in ids]
    lacking = [(clip, path) for clip, path in lacking if not path.is_file()]
    try:
        for done, (clip, path) in enumerate(lacking, start=1):
            _replace(path, partial(_write_clip, render(clip)))
            if progress is not None:
                progress(done, len(lacking))
    except (OSError, soundfile.SoundFileError) as error:
        raise _unwritable(folder, error) from error


def _write_clip(samples: np.ndarray, to: Path) -> None:
    soundfile.write(to, samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and give it its name when it is whole."""
    import uuid

    scratch = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        write(scratch)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _unwritable(folder: Path, error: Exception) -> TaskError:
    return TaskError(
        f"the demo collection cannot be rendered to {folder}: {error}",
        "Make room there or let it be written, or choose another home folder, then run again.",
    )
