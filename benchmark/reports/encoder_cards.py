"""What is printed of the card of a named encoder, and whether its weights are here."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.encoders.cards.card import EncoderCard
    from benchmark.encoders.cards.hub import Plan
    from benchmark.encoders.cards.listing import Named

WIDTH, KEY = 100, 14


def card_of(name: str, home: Path) -> Named | None:
    """Return the card whose id or alias ``name`` is; ``None`` where there is none.

    Raises:
        UserError: A card is not valid.
    """
    from benchmark.encoders.cards.listing import card_named
    from benchmark.encoders.registry import cards_here

    return card_named(name, cards_here(home))


def format_card(named: Named) -> str:
    """Return a card for people: what is known, what of it is not verified, and what to do next."""
    card = named.card
    rows = [
        ("licence", card.licences),
        ("opens as", card.opens or "nothing here opens it"),
        ("hub", _hub(card)),
        ("audio", f"{card.sample_rate} Hz, {'mono' if card.channels == 1 else 'stereo'}"),
        ("window", _window(card)),
        ("input", _input(card)),
        ("layers", "" if card.layers is None else f"{card.layers} rows of {card.dim}"),
        ("dim", "" if card.layers is not None else str(card.dim)),
        ("frames", "" if card.frame_rate is None else f"{card.frame_rate:.4g} a second"),
        ("parameters", "" if card.parameters is None else f"{card.parameters:,}"),
        ("weights", _weights(card)),
        ("trained on", _training(card)),
        ("paper", card.paper),
        ("scores", card.scores),
        ("unverified", ", ".join(card.unverified)),
        ("card", str(named.path)),
    ]
    lines = [f"Card: {card.title} ({card.family}): {card.description}"]
    lines += [f"also called {', '.join(card.aliases)}"] if card.aliases else []
    lines += [_row(key, value) for key, value in rows if value]
    lines += [textwrap.fill(note, WIDTH, initial_indent="- ", subsequent_indent="  ") for note in card.notes]
    return "\n".join(lines)


def next_step(named: Named, home: Path) -> str:
    """Return what a user does to run the encoder where it cannot be run yet, else nothing."""
    from benchmark.encoders.cards.fetched import is_here

    card = named.card
    if card.elsewhere is not None:
        install = f"  pip install {' '.join(repr(name) for name in card.elsewhere.packages)}\n"
        return (
            f"It does not run in this environment: {card.elsewhere.reason}.\nIn an environment of its own, with\n"
            f"{install}it is named\n  --encoder '{card.elsewhere.env}'"
        )
    if card.is_on_hub and not is_here(card, home):
        code = " It comes with code that is run, which the command asks about." if card.runs_code else ""
        return f"No weights yet ({card.licences}). Fetch them: bench encoders fetch {card.id}.{code}"
    return ""


def card_record(named: Named) -> dict[str, Any]:
    """Return a card for programs, with every key, and the hub's id and commit however the card says them."""
    card = named.card
    return {
        **card.model_dump(mode="json"),
        "hub": card.repository,
        "commit": card.revision,
        "runs_code": card.runs_code,
        "path": str(named.path),
    }


def bibtex(name: str, home: Path) -> str:
    """Return the entry to cite for an encoder.

    Raises:
        UserError: There is no such card, or it has none.
    """
    named = card_of(name, home)
    if named is None:
        raise UserError(f"{name!r} has no card", "see those that have one with: bench encoders")
    if not named.card.bibtex.strip():
        paper = f"; it was published as {named.card.paper}" if named.card.paper else ""
        raise UserError(f"the card of {named.card.id!r} has no BibTeX entry{paper}", f"write it into {named.path}")
    return named.card.bibtex.strip()


def fetchable(home: Path) -> list[str]:
    """Return the names of encoders whose weights can be fetched.

    Raises:
        UserError: A card is not valid.
    """
    from benchmark.encoders.published.weights import WEIGHTS
    from benchmark.encoders.registry import cards_here

    return [*WEIGHTS, *(name for name, named in cards_here(home).items() if named.card.is_on_hub)]


def refuse_unfetchable(named: Named) -> None:
    """Refuse a card of which there is nothing to fetch here.

    Raises:
        UserError: Its encoder runs in another environment, which fetches its own weights, or needs none.
    """
    card = named.card
    if card.elsewhere is not None:
        raise UserError(
            f"there is nothing to fetch for {card.id!r}: it runs in an environment of its own, whose package brings "
            "its weights",
            f"See how: bench encoders {card.id}",
        )
    if not card.is_on_hub:
        raise UserError(
            f"there is nothing to fetch for {card.id!r}: its card opens {card.opens}",
            "use it as it is, or name another",
        )


def asked_of(named: Named, plan: Plan) -> str:
    """Return what the user must know before code that comes with a model is allowed."""
    from benchmark.encoders.trust import IS_CODE

    return (
        f"{named.card.id!r} runs code that comes with it ({', '.join(plan.code)}; "
        f"https://huggingface.co/{plan.hub}/tree/{plan.commit}), and {IS_CODE}"
    )


def _row(key: str, value: str) -> str:
    start = f"{key + ':':<{KEY}}"
    # A name of the hub has no blanks and is never broken.
    return textwrap.fill(
        value, WIDTH, initial_indent=start, subsequent_indent=" " * KEY, break_long_words=False, break_on_hyphens=False
    )


def _hub(card: EncoderCard) -> str:
    if card.repository is None:
        return ""
    doubt = " (unverified)" if {"opens", "commit"} & set(card.unverified) else ""
    return f"{card.repository} at " + (f"{card.revision}{doubt}" if card.revision else "no commit that is known")


def _window(card: EncoderCard) -> str:
    if card.window_seconds is None:
        return ""
    if card.window_seconds == "track":
        return "whole track"
    return f"{card.window_seconds:g} s every {card.hop_seconds or card.window_seconds:g} s"


def _input(card: EncoderCard) -> str:
    rules = {True: "each window to mean 0 and variance 1", False: "waveforms as they are", None: ""}
    return "; ".join(part for part in (card.input, rules[card.normalize]) if part)


def _weights(card: EncoderCard) -> str:
    if card.weights is None:
        return ""
    size = f", {card.weights.size:,} bytes" if card.weights.size else ""
    return f"{card.weights.file}{size}" + (f", sha256 {card.weights.sha256}" if card.weights.sha256 else "")


def _training(card: EncoderCard) -> str:
    from tasks.registry import builtin_tasks

    known = {task.collection for task in builtin_tasks().values()}
    ids = [name if name in known else f"{name} (no collection here has that id)" for name in card.trained_on]
    seen = f"collections here: {', '.join(ids)}" if ids else ""
    return "; ".join(part for part in (card.training, seen) if part)
