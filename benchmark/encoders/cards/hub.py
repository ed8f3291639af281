"""Weights of named encoders from the Hugging Face hub: one commit, a few files, each checked; resumed where it was cut.

``huggingface_hub`` is asked what a commit holds: it knows the user's token, mirrors (``HF_ENDPOINT``) and what the hub
answers. The bytes are fetched by :mod:`tasks.sources.download`, which continues a broken download: ``huggingface_hub``
begins it anew.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.encoders.cards.card import COMMIT, EncoderCard
from benchmark.encoders.cards.fetched import Fetched, Place, described, is_here, note, place_of, sound_files
from benchmark.encoders.cards.listing import Named
from benchmark.errors import UserError
from benchmark.system.extras import install_command
from tasks.sources.card import Source
from tasks.sources.download import fetch
from tasks.sources.state import problem_of

Progress = Callable[[int, int | None], None]

#: Files that say what a model is; its weights are looked for in this order, the first kind that is there.
CONFIGURATIONS = re.compile(r"[\w.-]*config\.json|LICEN[CS]E[\w.-]*")
WEIGHTS = (
    re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?"),
    re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?"),
)
CODE = re.compile(r"[\w.-]+\.py")


@dataclass(frozen=True)
class HubFile:
    """A file of a commit: sha256 of a large one, git's own digest of a small one."""

    name: str
    size: int
    sha256: str | None
    blob: str


@dataclass(frozen=True)
class Plan:
    """What is to be fetched of one commit.

    Attributes:
        hub: The model's id.
        commit: The full commit.
        by_hand: Whether the user named it in place of the card's.
        files: The files.
        code: Names of those whose code opening the encoder runs.
    """

    hub: str
    commit: str
    by_hand: bool
    files: tuple[HubFile, ...]
    code: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)


def fetched_already(named: Named, home: Path, commit: str | None = None) -> Place | None:
    """Return the place of files that are here and sound, without asking the hub; ``None`` where something is to do.

    Raises:
        UserError: A file that was fetched is another one now.
    """
    if commit is not None:
        fetched = place_of(named.card, home).fetched
        if fetched is None or fetched.commit != commit:
            return None
    return sound_files(named, home) if is_here(named.card, home) else None


def plan_of(named: Named, commit: str | None = None) -> Plan:
    """Ask the hub what a commit holds, and return what of it is to be fetched.

    Args:
        named: A card of the hub.
        commit: A full commit in place of the card's.

    Raises:
        UserError: The hub cannot be reached, has no such model or commit or gives it to nobody who has not accepted its
            terms; or the commit lacks a file, or holds another one than the card says.
    """
    card = named.card
    assert card.repository is not None
    if commit is not None and not re.fullmatch(COMMIT, commit):
        raise UserError(f"--commit {commit} is no full commit", "give all of its 40 hex digits, in small letters")
    api, wanted = _hub(card), commit or card.revision
    try:
        info = api.model_info(card.repository, revision=wanted, files_metadata=True)
    except Exception as error:  # the library's own, those of its HTTP client, and OSError
        raise _explained(error, named, wanted) from error
    if wanted is not None and info.sha != wanted:
        raise UserError(
            f"the hub answers with the commit {info.sha} of {card.repository}, not {wanted}",
            "Try again, or another mirror",
        )
    if not re.fullmatch(COMMIT, str(info.sha)):
        raise UserError(
            f"the hub does not say which commit of {card.repository} it has", "Try again, or another mirror"
        )
    files = _wanted(card, [_file(sibling) for sibling in info.siblings or ()], str(info.sha))
    _check_weights(named, files)
    _refuse_gated(named, files, str(info.sha))
    code = tuple(file.name for file in files if CODE.fullmatch(file.name))
    if card.runs_code and not code:
        raise UserError(
            f"the card {named.path} says that {card.repository} comes with code, and its commit {info.sha} has none",
            "Take remote_code out of the card, or name another commit with --commit",
        )
    return Plan(card.repository, str(info.sha), commit is not None and commit != card.revision, tuple(files), code)


def download(named: Named, plan: Plan, home: Path, progress: Progress | None = None) -> Place:
    """Fetch what a plan names, check every file, and write down that it is here. What is here already stays.

    Raises:
        UserError: A file is not what the hub says, or the folder cannot be written.
        TaskError: A download failed; the same call continues it.
    """
    place = Place(home / "encoders" / named.card.id, None)
    folder, done = place.folder / plan.commit, 0
    for file in plan.files:
        _bring(plan, file, folder, done, progress)
        done += file.size
    files = {file.name: described(folder / file.name) for file in plan.files}
    return note(place, Fetched(hub=plan.hub, commit=plan.commit, by_hand=plan.by_hand, files=files, code=plan.code))


def _bring(plan: Plan, file: HubFile, folder: Path, done: int, progress: Progress | None) -> None:
    from huggingface_hub import get_token, hf_hub_url

    target = folder / file.name
    if file.size == 0:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"")
        return
    url = hf_hub_url(plan.hub, file.name, revision=plan.commit)
    source = Source(file=file.name, what="annotations", urls=(url,), sha256=file.sha256, size=file.size)
    if target.is_file() and (problem := problem_of(source, folder) or _other_blob(target, file)):
        raise UserError(f"{target} is another file: {problem}", "Delete it, then run the same command again")
    token = get_token()
    asks = {"Authorization": f"Bearer {token}"} if token else {}
    told = None if progress is None else lambda here, _: progress(done + here, plan.size)
    fetch(source, folder, progress=told, headers=asks)
    if problem := _other_blob(target, file):
        target.unlink()
        raise UserError(
            f"the hub sent another file than it names for {file.name}: {problem}", "Run the same command again"
        )


def _other_blob(path: Path, file: HubFile) -> str:
    """Return how the bytes of a small file differ from those that git has; nothing where they are the same."""
    if file.sha256 is not None or not file.blob:
        return ""
    content = path.read_bytes()
    digest = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return "" if digest == file.blob else f"git's digest of it is {digest}, not {file.blob}"


def _hub(card: EncoderCard) -> Any:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise UserError(
            f"weights of {card.id!r} come from the Hugging Face hub, which needs the package huggingface_hub ({error})",
            f"Install it:\n  {install_command('hf')}",
        ) from None
    return HfApi()


def _file(sibling: Any) -> HubFile:
    lfs = sibling.lfs
    return HubFile(
        sibling.rfilename,
        int((lfs.size if lfs else sibling.size) or 0),
        str(lfs.sha256) if lfs else None,
        "" if lfs else str(sibling.blob_id or ""),
    )


def _wanted(card: EncoderCard, files: Sequence[HubFile], commit: str) -> list[HubFile]:
    """Return the configuration, the weights of one kind, and code where the card says that it is run."""
    names = [file.name for file in files]
    if card.weights is not None:
        if card.weights.file not in names:
            raise UserError(
                f"{card.repository} has no file {card.weights.file} at the commit {commit}, which the card of "
                f"{card.id!r} names",
                f"see those that it has: https://huggingface.co/{card.repository}/tree/{commit}",
            )
        weights = {card.weights.file}
    else:
        weights = next(
            (found for kind in WEIGHTS if (found := {name for name in names if kind.fullmatch(name)})), set()
        )
    if not weights or "config.json" not in names:
        lacks = "config.json" if weights else "weights that transformers reads (model.safetensors, pytorch_model.bin)"
        raise UserError(
            f"{card.repository} has no {lacks} at the commit {commit}",
            "write a plug-in for its package ('bench encoders new')",
        )
    return [
        file
        for file in files
        if file.name in weights or CONFIGURATIONS.fullmatch(file.name) or (card.runs_code and CODE.fullmatch(file.name))
    ]


def _refuse_gated(named: Named, files: Sequence[HubFile], commit: str) -> None:
    """Ask for the largest file without taking it: of a gated model the hub tells what it holds, and gives nothing."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    largest = max(files, key=lambda file: file.size)
    try:
        get_hf_file_metadata(hf_hub_url(str(named.card.repository), largest.name, revision=commit))
    except Exception as error:
        raise _explained(error, named, commit) from error


def _check_weights(named: Named, files: Sequence[HubFile]) -> None:
    said = named.card.weights
    if said is None:
        return
    (file,) = [file for file in files if file.name == said.file]
    for what, on_card, on_hub in (("sha256", said.sha256, file.sha256), ("size", said.size, file.size)):
        if on_card is not None and on_hub is not None and on_card != on_hub:
            doubt = ", which it calls unverified" if "weights" in named.card.unverified else ""
            raise UserError(
                f"{said.file} of {named.card.repository} is another file than the card {named.path} says: its {what} "
                f"is {on_hub} on the hub, and {on_card} on the card{doubt}",
                "See which of them is right; a card of your own in <home>/encoders can name the other",
            )


def _explained(error: Exception, named: Named, commit: str | None) -> UserError:
    """Return in words why the hub does not say what a commit holds, and what to do."""
    hub, kind, name = named.card.repository, type(error).__name__, named.card.id
    if kind == "GatedRepoError":
        return UserError(
            f"{hub} is gated: the hub gives it to those who accepted its terms",
            f"Accept them at https://huggingface.co/{hub}, log in with: hf auth login, and run the same command again",
        )
    if kind == "RevisionNotFoundError":
        doubt = ", which its card calls unverified" if "opens" in named.card.unverified else ""
        return UserError(
            f"{hub} has no commit {commit}{doubt}",
            f"See those that it has, https://huggingface.co/{hub}/commits/main, and name one: bench encoders fetch "
            f"{name} --commit COMMIT",
        )
    if kind in ("RepositoryNotFoundError", "DisabledRepoError"):
        return UserError(
            f"the hub has no model {hub}, or it is private", "Check the card, or log in with: hf auth login"
        )
    text = " ".join(str(error).split())[:300]
    if kind == "OfflineModeIsEnabled":
        return UserError(
            f"HF_HUB_OFFLINE is set, so that the hub is not asked for {hub}", "Unset it for this command alone"
        )
    at = f" --revision {commit}" if commit else ""
    return UserError(
        f"the hub cannot be reached, or does not answer as it should ({text or kind})",
        f"Try again; or, where there is a connection: hf download {hub}{at} --local-dir FOLDER, and name that folder "
        "as hf:FOLDER",
    )
