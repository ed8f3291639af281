"""What transformers and the hub raise, in words, with what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.errors import UserError


@contextmanager
def explained(who: str, location: str, revision: str | None) -> Iterator[None]:
    """Turn what transformers and the hub raise into what the user can do."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # OSError, ValueError, and what remote code raises
        text = " ".join(str(error).split())
        reason, do = _way_out(text, location, revision)
        raise UserError(f"{who} cannot be opened: {reason}", do) from error


def _way_out(text: str, location: str, revision: str | None) -> tuple[str, str]:
    """Return in words why a model of the hub cannot be opened, and what to do."""
    at = f" --revision {revision}" if revision else ""
    if "gated" in text.lower():
        return "it is gated", f"Accept its terms at https://huggingface.co/{location}, then log in: hf auth login"
    if "not a valid model identifier" in text or "valid repository name" in text:
        return "the hub has no such model, or it is private", "check the id, or log in with: hf auth login"
    if "file named config.json" in text:
        return (
            "it has no config.json, so transformers cannot build it",
            "write a plug-in for its own package ('bench encoders new')",
        )
    if "not a valid git identifier" in text:
        return f"it has no revision {revision!r}", f"see those it has: https://huggingface.co/{location}/commits/main"
    if "couldn't connect" in text or "ffline" in text:
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
            return (
                "HF_HUB_OFFLINE is set and it is not in the hub's cache here",
                f"Where there is a network: hf download {location}{at}; or unset HF_HUB_OFFLINE, or name a folder with "
                "its files",
            )
        return (
            f"the hub cannot be reached and it is not in the cache ({text})",
            "Try again, or name a folder with its files",
        )
    return text[:500], "Download or save the model again, or write a plug-in for it ('bench encoders new')"
