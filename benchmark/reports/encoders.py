"""What ``bench encoders`` prints: the catalogue, what one encoder declares, and the check of one."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.system.home import home_folder
from benchmark.system.tables import table

if TYPE_CHECKING:
    from benchmark.catalogue import EncoderInfo
    from benchmark.encoders.base import Encoder
    from benchmark.encoders.cards.card import EncoderCard
    from benchmark.encoders.check.certificate import Certificate
    from benchmark.encoders.check.check import Check
    from benchmark.encoders.precomputed.encoder import Precomputed

WIDTH = 100


def catalogue(home: Path) -> str:
    """Return the encoders that have a name here, and the other ways to name one, with an example each.

    Args:
        home: The data home, whose runs of pre-training and environments are listed.
    """
    from benchmark.catalogue import list_encoders
    from benchmark.encoders.environment.interpreters import FOLDER, environments
    from benchmark.encoders.registry import format_kinds

    there = environments(home)
    rows = [
        [encoder.name, encoder.licence or "-", _weights_of(encoder), encoder.description]
        for encoder in list_encoders(home)
    ]
    return (
        table(
            rows,
            ["encoder", "licence", "weights", "what it is"],
            texts=("licence", "what it is"),
            spare=("licence", "weights"),
        )
        + f"\n\nAn encoder is named as\n{format_kinds()}"
        + (f"\nEnvironments in {home / FOLDER}: {', '.join(there)}" if there else "")
        + "\n\nOne of them: bench encoders NAME. Its contract, speed and memory: bench encoders check NAME."
        + "\nYour own in ten lines: bench encoders new my_encoder.py; in an environment of its own: with --env NAME"
    )


def _weights_of(encoder: EncoderInfo) -> str:
    """Return where the weights of an encoder are, in a word or two."""
    if encoder.kind == "elsewhere":
        return "elsewhere"
    if encoder.kind in ("built in", "own", "installed"):
        return "-"
    return "here" if encoder.ready else "to fetch" if encoder.kind != "pretrained" else "not yet"


def format_encoder(name: str, home: Path) -> str:
    """Return what the encoder ``name`` declares, and its card where it has one.

    Raises:
        UserError: There is none, or it cannot be made.
    """
    from benchmark.encoders.base import window_of
    from benchmark.encoders.precomputed.encoder import Precomputed
    from benchmark.encoders.published.weights import WEIGHTS
    from benchmark.reports.encoder_cards import card_of, format_card, next_step

    named = card_of(name, home)
    if named is not None:
        name, todo = named.card.id, next_step(named, home)
        if todo:
            return f"{name}\n{'=' * len(name)}\n{format_card(named)}\n\n{todo}"
    encoder, fingerprint = _opened(name, home)
    if isinstance(encoder, Precomputed):
        return format_given(encoder)
    lines = [encoder.name, "=" * len(encoder.name)]
    documentation = (encoder.__doc__ or "").strip()
    if documentation:
        lines.append(documentation.splitlines()[0] + "\n")
    window = "whole track"
    if encoder.window_seconds:
        window = f"{encoder.window_seconds:g} s every {encoder.hop_seconds or encoder.window_seconds:g} s"
    facts = {
        "version": encoder.version,
        "dim": encoder.dim,
        "layers": ", ".join(encoder.layers) if encoder.layers else "none",
        "audio": f"{encoder.sample_rate} Hz, {'mono' if encoder.channels == 1 else 'stereo'}",
        "window": window,
        "shorter": f"{encoder.padding} up to {window_of(encoder):g} s",
        "fingerprint": fingerprint or "not without weights",
    }
    lines += [f"{key + ':':<13}{value}" for key, value in facts.items()]
    lines += [textwrap.fill(note, WIDTH, initial_indent="- ", subsequent_indent="  ") for note in encoder.notes]
    if named is not None:
        lines.append(f"\n{format_card(named)}")
    if not fingerprint:
        lines.append(f"\nNo weights yet. {WEIGHTS[name].licence}\nFetch them: bench encoders fetch {name}")
    return "\n".join(lines)


def declared(name: str, home: Path) -> dict[str, Any]:
    """Return what the encoder ``name`` declares, for programs; of embeddings that were given much is ``None``.

    Of an encoder that cannot be opened yet, its card tells; what that does not say is ``None``.

    Raises:
        UserError: There is none, or it cannot be made.
    """
    from benchmark.encoders.precomputed.encoder import Precomputed
    from benchmark.reports.encoder_cards import card_of, card_record, next_step

    named = card_of(name, home)
    card = None if named is None else card_record(named)
    if named is not None:
        name = named.card.id
        if next_step(named, home):
            return _by_card(named.card) | {"card": card}
    encoder, fingerprint = _opened(name, home)
    given = isinstance(encoder, Precomputed)
    documentation = "" if given else (encoder.__doc__ or "").strip()
    return {
        "name": encoder.name,
        "description": documentation.splitlines()[0] if documentation else "",
        "version": encoder.version,
        "dim": encoder.dim,
        "layers": [] if given else list(encoder.layers or ()),
        "sample_rate": None if given else encoder.sample_rate,
        "channels": None if given else encoder.channels,
        "window_seconds": None if given else encoder.window_seconds,
        "hop_seconds": None if given else encoder.hop_seconds,
        "padding": None if given else encoder.padding,
        "fingerprint": fingerprint or None,
        "ready": bool(fingerprint),
        "notes": [] if given else list(encoder.notes),
        "card": card,
    }


def _by_card(card: EncoderCard) -> dict[str, Any]:
    """Return what a card says of an encoder that cannot be opened yet, by the keys of what one declares."""
    return {
        "name": card.id,
        "description": card.description,
        "version": None,
        "dim": card.dim,
        "layers": [],
        "sample_rate": card.sample_rate,
        "channels": card.channels,
        "window_seconds": None if card.window_seconds == "track" else card.window_seconds,
        "hop_seconds": card.hop_seconds,
        "padding": None,
        "fingerprint": None,
        "ready": False,
        "notes": list(card.notes),
    }


def _opened(name: str, home: Path) -> tuple[Any, str]:
    """Return an encoder and its fingerprint; of one without weights its class, and an empty text.

    Raises:
        UserError: There is none, or it cannot be made.
    """
    from benchmark.embeddings.space import space_of
    from benchmark.encoders.precomputed.encoder import Precomputed
    from benchmark.encoders.registry import resolve_one
    from benchmark.system.stdout import stdout_to_stderr

    encoder: Any = _unfetched(name, home)
    if encoder is not None:
        return encoder, ""
    with stdout_to_stderr():
        encoder = resolve_one(name, home)
    if isinstance(encoder, Precomputed):
        return encoder, encoder.fingerprint()
    return encoder, space_of(encoder, None, None).fingerprint


def _unfetched(name: str, home: Path) -> Any:
    """Return the class of a published encoder whose weights are not here, else ``None``."""
    from benchmark.encoders.published.weights import WEIGHTS, encoder_class, is_fetched

    if name not in WEIGHTS or is_fetched(name, home):
        return None
    return encoder_class(name)


def check(
    name: str,
    home: Path | None,
    *,
    arguments: Sequence[str],
    task: Sequence[str],
    data_roots: Sequence[str],
    device: str,
    batch_size: int,
    certificate: Path | None = None,
) -> tuple[str, bool]:
    """Check the encoder ``name``; return every rule with its numbers, and whether it keeps them all.

    Args:
        name: As for ``--encoder``.
        home: Data home.
        arguments: ``k=v``, the encoder's options.
        task: Tasks whose embedding is to be estimated.
        data_roots: ``COLLECTION=DIR``, where datasets lie.
        device: ``auto``, ``cpu``, ``cuda``, ...
        batch_size: Windows in the batch that is timed.
        certificate: A file: where it is there, the encoder is held to it, else it is written.

    Raises:
        UserError: The certificate is none, or of another encoder; the encoder cannot be made, a task cannot be found or
            is not there, or embeddings that are given are bad.
    """
    from benchmark.encoders.check.certificate import read_certificate
    from benchmark.encoders.check.check import check as check_encoder
    from benchmark.encoders.check.reopening import Named, reopened
    from benchmark.encoders.precomputed.encoder import Precomputed, checked
    from benchmark.encoders.registry import resolve
    from benchmark.encoders.remote import device_for
    from benchmark.system.stdout import stdout_to_stderr

    where = home_folder(home)
    with stdout_to_stderr():
        encoders = resolve(name, where, arguments=arguments)
    if len(encoders) != 1:
        raise UserError(f"{name!r} names {len(encoders)} encoders", "check one at a time")
    (encoder,) = encoders
    if isinstance(encoder, Precomputed):
        if certificate is not None:
            raise UserError(
                f"embeddings that were given, {name!r}, have no certificate: nothing computes them here",
                "leave --certificate out",
            )
        checked(encoder, encoder.ids)
        (again,) = resolve(name, where, arguments=arguments)
        if again.fingerprint() != encoder.fingerprint():
            raise UserError(
                f"{encoder.path} is not what it was a moment ago: is it still being written?",
                "Run the same command again when it is finished",
            )
        return (
            f"{format_given(encoder)}\nEvery row is finite, none is constant, and read twice they are the same; "
            "nothing else can be checked here."
        ), True
    used = device_for(encoder, device)
    named = Named(name, tuple(arguments), str(where), used)
    before = None
    if certificate is not None and certificate.exists():
        before = read_certificate(certificate, encoder.name)
    result = check_encoder(encoder, used, batch_size=batch_size, again=partial(reopened, named))
    said = ""
    if certificate is not None:
        result, said = _with_certificate(encoder, used, result, certificate, before)
    text = f"{encoder.name} on {used}\n{format_findings(result)}"
    if task and not result.failures:
        text += f"\n\n{_estimate(encoder, result, task, where, data_roots, used, batch_size)}"
    return text + said, not result.failures


def _with_certificate(
    encoder: Encoder, device: str, result: Check, path: Path, before: Certificate | None
) -> tuple[Check, str]:
    """Return the check with the finding on a certificate that was there, and what is said of one that is written."""
    from benchmark.encoders.check.certificate import certified, compared, write_certificate
    from benchmark.encoders.check.rules import Finding
    from benchmark.encoders.check.subject import said

    if result.failures and before is None:
        return result, f"\nNo certificate was written: {path} is for an encoder that keeps every rule"
    try:
        now = certified(encoder, device, result)
    except Exception as error:  # what it raises on this sound
        return replace(result, findings=(*result.findings, Finding("certificate", False, f"it {said(error)}"))), ""
    if before is not None:
        return replace(result, findings=(*result.findings, compared(before, now))), ""
    write_certificate(path, now)
    return result, f"\nCertificate written: {path}. The same command compares with it from now on"


def format_given(encoder: Precomputed) -> str:
    """Return what is known of embeddings that were computed elsewhere."""
    return (
        f"{encoder.name}: {len(encoder.ids):,} embeddings of dim {encoder.dim} in {encoder.path}, computed elsewhere\n"
        f"fingerprint: {encoder.fingerprint()}"
    )


def format_findings(check: Check) -> str:
    """Return one line a rule with its numbers, speed and memory, and how many rules are broken."""
    lines = []
    for finding in check.findings:
        start = f"{'pass' if finding.passed else 'FAIL'}  {finding.rule:<15}"
        lines.append(
            textwrap.fill(
                finding.numbers, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False
            )
        )
    if check.speed is not None:
        lines.append(f"\nSpeed: {check.speed.describe()}")
    if check.failures:
        lines.append(f"\n{len(check.failures)} of {len(check.findings)} rules are broken")
    return "\n".join(lines)


def _estimate(
    encoder: Encoder, check: Check, task: Sequence[str], home: Path, data_roots: Sequence[str], device: str, batch: int
) -> str:
    from benchmark.jobs.estimate import estimates
    from benchmark.jobs.items import prepare
    from benchmark.jobs.options import Options
    from benchmark.jobs.plan import plan_jobs
    from benchmark.reports.plan import format_estimates
    from benchmark.system.progress import Terminal
    from tasks import registry

    options = Options(home=home, device=device, batch_size=batch, data_roots=data_roots)
    items = prepare(registry.find(task, home, data_roots), options, Terminal())
    jobs = plan_jobs([encoder], items, options, records=False)
    return format_estimates(estimates(jobs, options.embedding, check.speed))
