"""The check of an encoder before it embeds many tracks, so that a mistake costs seconds and not hours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmark.encoders.base import Encoder
from benchmark.encoders.check.check import check
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.embeddings.space import Space


#: Tracks from which on an extraction checks its encoder first: below, the check could cost more than it saves.
CHECKED_ABOVE = 200


#: Seconds after which that check begins no rule that would not be seen in time.
CHECK_SECONDS = 10.0


def check_before(
    encoder: Encoder, space: Space, tracks: int, device: str, say: Callable[[str], None] | None = None
) -> None:
    """Check ``encoder`` before ``tracks`` are embedded into ``space``, if they are more than :data:`CHECKED_ABOVE`.

    It takes about :data:`CHECK_SECONDS` at most; ``say`` is told which rules there was no time for.

    Raises:
        UserError: It breaks rules; they are named with the numbers.
    """
    if tracks <= CHECKED_ABOVE:
        return
    # The key of a fitted encoder's space is made from what it was fitted on, not from its fitted state.
    fingerprint = encoder.fingerprint() if encoder.fitted else space.fingerprint
    result = check(encoder, device, windows=space.windows, fingerprint=fingerprint, fit=False, seconds=CHECK_SECONDS)
    if result.failures:
        lines = [f"  {failure.rule}: {failure.numbers}" for failure in result.failures]
        raise UserError(
            f"the encoder {encoder.name!r} breaks {len(result.failures)} of {len(result.findings)} rules, so none of "
            f"{tracks:,} tracks was embedded",
            "mend what follows ('bench encoders check' shows every rule)",
            lines,
        )
    if result.left_out and say is not None:
        say(
            f"Checked {encoder.name} for about {CHECK_SECONDS:g} s, in which there was no time for: "
            f"{', '.join(result.left_out)}. 'bench encoders check' takes the time for every rule"
        )
