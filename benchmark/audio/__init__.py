"""Decoding of sound files to windows of samples, or to the reason why a file is damaged.

``load(path, AudioRule(16000))`` gives the whole sound of a file, or raises :class:`DamagedAudioError`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmark.audio.decode import AudioRule as AudioRule
    from benchmark.audio.decode import DamagedAudioError as DamagedAudioError
    from benchmark.audio.decode import load as load

__all__ = ["AudioRule", "DamagedAudioError", "load"]


def __getattr__(name: str) -> object:
    """Import the public names at first use, so that a module of this package imports no other by itself."""
    if name in __all__:
        from benchmark.audio import decode

        return getattr(decode, name)
    raise AttributeError(f"module 'benchmark.audio' has no attribute {name!r}")
