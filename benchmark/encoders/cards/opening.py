"""Named encoders opened by their cards, and held to what these say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from benchmark.encoders.base import Encoder
from benchmark.encoders.cards.agreement import disagreements
from benchmark.encoders.cards.card import SAID_ELSEWHERE, EncoderCard
from benchmark.encoders.cards.fetched import sound_files
from benchmark.encoders.cards.listing import Named
from benchmark.encoders.options import text_of, variant_name
from benchmark.encoders.spec import EncoderSpec, parse
from benchmark.errors import UserError

#: A file of the hub that says rate and normalisation; the card's are given where a repository has none.
EXTRACTORS = ("preprocessor_config.json", "processor_config.json")


def open_named(named: Named, spec: EncoderSpec, home: Path, opened: Callable[[EncoderSpec, Path], Encoder]) -> Encoder:
    """Return the encoder of a card, under the card's id.

    Args:
        named: The card.
        spec: The encoder as the user named it; its options win over those of the card.
        home: The data home, where fetched files are.
        opened: What opens any other name of an encoder.

    Raises:
        UserError: Nothing here can open it, its files were not fetched or are others now, or it is not what the card
            says.
    """
    card = named.card
    if card.elsewhere is not None:
        raise _cannot(card)
    assert card.spec is not None
    if "remote_code" in spec.options:
        raise UserError(
            f"whether code of {card.id!r} is run is said by its card, {named.path}", "leave remote_code out"
        )
    inner = card.spec
    version: str | None = None
    if card.is_on_hub:
        place = sound_files(named, home)
        assert place.fetched is not None
        version = place.fetched.commit[:12]
        inner = replace(inner, target=str(place.files), revision=None, text=spec.text)
        inner = replace(inner, options={**_said(card, place.files), **inner.options})
    elif inner.kind == "name" and inner.target == card.id:
        raise UserError(
            f"the card {named.path} opens its encoder by its own name, and there is none built in that is called so",
            "write into opens what opens it",
        )
    else:
        inner = parse(_beside(card.opens or "", named.path))
    user = dict(spec.options)
    inner = replace(inner, options=MappingProxyType(_merged(inner.options, user)))
    try:
        encoder = opened(inner, home)
    except UserError as error:
        raise UserError(f"{error.what} (the card {named.path} opens it)", error.do, error.rows) from error
    _refuse_other(named, encoder, user)
    encoder.name = variant_name(card.id, user) if user else card.id
    encoder.card, encoder.beside_card = card, tuple(user)
    if version is not None:
        encoder.version = version
    return encoder


def _refuse_other(named: Named, encoder: Encoder, user: Mapping[str, str]) -> None:
    told = disagreements(named.card, encoder, user)
    if told:
        raise UserError(
            f"the card {named.path} does not fit the model that it opens: {'; '.join(told)}",
            "Mend the card, or let it open the model that it is about",
        )


def _cannot(card: EncoderCard) -> UserError:
    assert card.elsewhere is not None
    install = f"\n  pip install {' '.join(map(_quoted, card.elsewhere.packages))}" if card.elsewhere.packages else ""
    return UserError(
        f"the encoder {card.id!r} does not run in this environment: {card.elsewhere.reason}",
        f"Give it an environment of its own{':' if install else ''}{install}\nand name it: "
        f"--encoder '{card.elsewhere.env}' ('bench encoders {card.id}' tells more)",
    )


def _quoted(package: str) -> str:
    return f"'{package}'" if any(sign in package for sign in "<>=! ") else package


def _said(card: EncoderCard, folder: Path) -> dict[str, str]:
    """Return the options of an ``hf:`` name that the card says in keys of its own."""
    values: dict[str, object] = {"window": card.window_seconds, "hop": card.hop_seconds}
    if not any((folder / name).is_file() for name in EXTRACTORS):
        values |= {"normalize": card.normalize, "sample_rate": card.sample_rate}
    return {key: text_of(value) for key, value in values.items() if key in SAID_ELSEWHERE and value is not None}


def _merged(of_card: Mapping[str, str], of_user: Mapping[str, str]) -> dict[str, str]:
    """Return the options of both; where the user chooses a window, the card's hop goes with its own."""
    kept = {key: value for key, value in of_card.items() if not (key == "hop" and "window" in of_user)}
    return {**kept, **of_user}


def _beside(opens: str, path: Path) -> str:
    """Return what a card opens, with a path that is relative to the card."""
    from benchmark.encoders.spec import with_paths

    def of_target(kind: str, target: str) -> str:
        beside = path.parent / target
        return str(beside) if kind not in ("name", "class", "hear") and beside.exists() else target

    return with_paths(opens, of_target, lambda value: value)
