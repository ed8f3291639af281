"""The protocol of a task: what its card asks for, within what the user chose."""

from __future__ import annotations

from benchmark.errors import UserError
from probes.protocol import Protocol, ProtocolError, protocol_for
from tasks.card import TaskCard

DEFAULT = "paper"


def protocol_of(name: str, card: TaskCard) -> Protocol:
    """Return the protocol ``name`` for the task of ``card``.

    Raises:
        UserError: There is none of that name, or it has nothing for this task.
    """
    probe = card.probe
    try:
        return protocol_for(
            name,
            card.id,
            tuple(card.groups),
            hidden=None if probe is None else probe.hidden,
            dropout=None if probe is None else probe.dropout,
            batch_size=None if probe is None else probe.batch_size,
        )
    except ProtocolError as error:
        raise UserError(error.what, error.do) from None
