"""The per-label scores that the paper's authors published for six models: 26 CSV files, CC BY-NC 4.0, never shipped.

They are fetched on request into the data home, from the commit of the authors' repository that the checksums are of.
What to know of them:

- A column whose label has the letters ``all`` in it is missing (ballad, Dance Hall, mallet, ...).
- Those of GTZAN and NSynth are precisions: of the items that were called so, how many are. Their overall column is the
  share of all items that were named rightly, which is our accuracy.
- Those of audioset-sup are of another run than the paper's tables: the two differ by up to 0.02.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import UserError
from tasks.errors import TaskError
from tasks.sources.by_hand import absent, by_hand
from tasks.sources.card import Source
from tasks.sources.download import fetch
from tasks.sources.state import is_sound, target_of

FOLDER = "published_label_scores"
BASE = (
    "https://raw.githubusercontent.com/PandoraMedia/music-audio-representations/"
    "f90a47216d7bd5297843abe541c34c7f789fcf20/supporting_data/results/"
)
LICENCE = "The published per-label scores are PandoraMedia's, under CC BY-NC 4.0: non-commercial use, with attribution."
OVERALL = "__all__"
OVERALL_COLUMNS = ("r2_a", "r2_v", "weighted", "precision_micro_class_micro_update")
MODELS: Mapping[str, str] = {
    "Musicset Supervised": "musicset-sup",
    "Audioset Supervised": "audioset-sup",
    "Musicset ULarge": "musicset-ularge",
    "Audioset ULarge": "audioset-ularge",
    "Musicset USmall": "musicset-usmall",
    "Audioset USmall": "audioset-usmall",
}
"""Models in the files, and here."""

FIELDS = ("task", "metric", "model", "tag", "value", "column")
"""Columns of one table of all scores, as :func:`read_table` takes it."""

_TASKS: Mapping[str, str] = {
    "AMM": "amm",
    "Emo": "emo",
    "GS_Key": "gs_key",
    "GTZAN": "gtzan",
    "Jam-50": "jam_50",
    "Jam-All": "jam_all",
    "Jam-MT": "jam_mt",
    "MSD100": "msd100",
    "MSD50": "msd50",
    "MSD500": "msd500",
    "MSDS": "msds",
    "MTT": "mtt",
    "MuMu": "mumu",
    "NSynth_I": "nsynth_i",
    "NSynth_P": "nsynth_p",
}
_METRICS: Mapping[str, str] = {
    "map": "map",
    "roc-auc": "roc_auc",
    "r2_a": "r2_arousal",
    "r2_v": "r2_valence",
    "weighted": "weighted_accuracy",
    "precision": "precision",
}


@dataclass(frozen=True)
class PublishedFile:
    """One file, ``<task>/<metric>.csv``: a row a model, a column a label."""

    file: str
    size: int
    sha256: str

    @property
    def task(self) -> str:
        """Id of the task."""
        return _TASKS[self.file.split("/")[0]]

    @property
    def metric(self) -> str:
        """Our name of the metric."""
        return _METRICS[Path(self.file).stem]

    @property
    def source(self) -> Source:
        """Where it comes from, and where it is kept below :data:`FOLDER`."""
        return Source(file=self.file, what="annotations", urls=(BASE + self.file,), sha256=self.sha256, size=self.size)


FILES = (
    PublishedFile("AMM/map.csv", 24_884, "dcd3e947ea7bfcb3fcdd52a5f973f13f5535d0beb8c8db20682ac1300869504a"),
    PublishedFile("AMM/roc-auc.csv", 24_630, "3c102e1c5d2f9e31db7f010626bfd71b8abc46ae1c33b61d77cb85b27626edfd"),
    PublishedFile("Emo/r2_a.csv", 247, "4d40dc46931ab06282b387220582edd976978c4dc2541cfae7f6f23129e63e9a"),
    PublishedFile("Emo/r2_v.csv", 249, "ccbc58ad2192ba41e4551180802e91221c3482719e5a3bdf774b771a0625717b"),
    PublishedFile("GS_Key/weighted.csv", 251, "2f83cfac303b4eb2211a0a03b1ff596d6fb6c2d445721279f2ed7d07064e3c08"),
    PublishedFile("GTZAN/precision.csv", 1_555, "2348401d055c04791ff52ba0dd1a120bee0106e4018ad28065d9df3228f22813"),
    PublishedFile("Jam-50/map.csv", 7_076, "90c7ee35f1103d639299561dd13905e008d8f2c15fbdacbd15309ef35506cb63"),
    PublishedFile("Jam-50/roc-auc.csv", 7_115, "b335a4dfd803a7b342e8937e6f1b3092c985c1a0b3e8c5b02a302cfa4ccad3fa"),
    PublishedFile("Jam-All/map.csv", 26_117, "151551e604fb2592aef28cef604ba63db6a86f12f269fb4be7cf0e8be0a275fa"),
    PublishedFile("Jam-All/roc-auc.csv", 25_638, "56241df5d76d7c8a470587422ee611bc7d5a02e2b706d6d3d71f038d61b42b9f"),
    PublishedFile("Jam-MT/map.csv", 8_070, "cd07bc0fe5f3303696dd40ce192617d3af046ea703a3d2002b2fc5a171889416"),
    PublishedFile("Jam-MT/roc-auc.csv", 7_915, "a49f51467fe917091b9974dd5a0fec55acd08d1d94fbb7316446d082344d6f0e"),
    PublishedFile("MSD100/map.csv", 12_918, "7b081f7d0451e25e61927cb6de3fb7ce67a72e48df3ddcfddc2a096f8ca1aae7"),
    PublishedFile("MSD100/roc-auc.csv", 12_904, "55aa1dde8f234411d08ca73332438bdce7348cb0971b231ae0d6a8a9e9c94d9a"),
    PublishedFile("MSD50/map.csv", 6_513, "6abfdab86f8bef3846c39954a1f2049374e1bb1d05c67a102d17fb420d89ebc1"),
    PublishedFile("MSD50/roc-auc.csv", 6_566, "a90c519700d141000680f7f00d75d94552549e6489aa0767de7c19551a1f00c2"),
    PublishedFile("MSD500/map.csv", 67_109, "28c5a3fa641535a4662e2a57095783dea605e50ef7b198bd16d269d6709408c6"),
    PublishedFile("MSD500/roc-auc.csv", 65_225, "bc01b967ce34da3f9f5cec826072399b38ebfcf94207116ea2364507fc749a4d"),
    PublishedFile("MSDS/map.csv", 6_609, "108c5ac664090a28955df42015426245ba088b99677c38a1e2c63a654ef8d86b"),
    PublishedFile("MSDS/roc-auc.csv", 6_613, "40024523e3aa6c05f2c5cc2279bd521fb006ff725b7e361eca12a82d28e5df80"),
    PublishedFile("MTT/map.csv", 6_478, "760a346703d2f75325c0a8fc5e534502f2e5fca279cfaaec2fbce3a6b4325f8e"),
    PublishedFile("MTT/roc-auc.csv", 6_535, "075105668b39cd0b0efdef15b72e651e4b8a712e68524245ab11663b61f58208"),
    PublishedFile("MuMu/map.csv", 33_745, "9eb4d36b190251e8fdac718dd6fbb1beb40049883c9ce2a05cfb85fdcea62c8f"),
    PublishedFile("MuMu/roc-auc.csv", 33_266, "80721e46032d4d6cc6a5f947ed58d58aae25a4293bb73bd719f7c8a5f6ea55ce"),
    PublishedFile("NSynth_I/precision.csv", 1_562, "5f1962430330149a95fe381097d2a0510214765a6077bb316e2722343639fea3"),
    PublishedFile("NSynth_P/precision.csv", 13_220, "23c6885041b11e5fae103d88e178de6bf00fd957504c566c5e34c257344c4e51"),
)


@dataclass(frozen=True)
class PublishedLabels:
    """One metric of one task: by model (in this order) the value of each label, and the overall one where there is."""

    labels: Mapping[str, Mapping[str, float]]
    overall: Mapping[str, float] = field(default_factory=dict)


def files_of(task: str) -> list[PublishedFile]:
    """Return the published files of a task; none for a task that is not the paper's."""
    return [file for file in FILES if file.task == task]


def fetch_published(task: str, home: Path) -> None:
    """Download the files of a task into the data home; those that are there are kept.

    Raises:
        UserError: There are none for this task.
        TaskError: The download failed; it can be resumed.
    """
    files = files_of(task)
    if not files:
        raise UserError(
            f"no per-label scores were published for {task}",
            f"name one of {_format_tasks()}, or give scores of your own with --published",
        )
    try:
        for file in files:
            fetch(file.source, home / FOLDER)
    except TaskError as error:
        sources = [file.source for file in files]
        told = by_hand(absent(sources, home / FOLDER), f"bench labels {task} ENCODER, which finds them there")
        raise TaskError(
            error.what,
            error.do,
            (*error.rows, *told.splitlines()),
        ) from None


def read_fetched(task: str, home: Path) -> dict[str, PublishedLabels]:
    """Return by metric what was fetched of a task; nothing when its files are not all there and sound.

    Raises:
        UserError: A file that does not parse.
    """
    root, files = home / FOLDER, files_of(task)
    if not all(is_sound(file.source, root) for file in files):
        return {}
    tables = {}
    for file in files:
        path = target_of(file.source, root)
        tables[file.metric] = parse_file(path.read_text(encoding="utf-8"), str(path))
    return tables


def parse_file(text: str, source: str) -> PublishedLabels:
    """Read one published file: number, model-name, and a column for each label.

    Raises:
        UserError: Another layout, an unknown model, or a value that is no number; ``source`` is named.
    """
    lines = list(csv.reader(io.StringIO(text, newline="")))
    if not lines or lines[0][1:2] != ["model-name"]:
        raise UserError(
            f"{source} is not a published file of scores: its second column is not model-name",
            "Delete it and fetch it again",
        )
    cells = []
    for line in lines[1:]:
        if len(line) != len(lines[0]):
            raise UserError(
                f"{source}: the line of {line[1:2]} has {len(line)} columns, its head {len(lines[0])}",
                "delete it and fetch it again",
            )
        cells += [(line[1], tag_of(column), value) for column, value in zip(lines[0][2:], line[2:], strict=True)]
    return _collect(cells, source)


def read_table(path: Path, task: str) -> dict[str, PublishedLabels]:
    """Return by metric what a table of all scores, with the columns :data:`FIELDS`, says of a task.

    Raises:
        UserError: The file is missing, has other columns, an unknown metric or model, or nothing about the task.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--published {path} cannot be read: {error}", "let it be read as UTF-8, or name another file"
        ) from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if tuple(reader.fieldnames or ()) != FIELDS:
        found = ", ".join(reader.fieldnames or ()) or "none"
        raise UserError(f"--published {path}: its columns are {found}", f"write {','.join(FIELDS)}")
    cells: dict[str, list[tuple[str, str, str]]] = {}
    for row in reader:
        if _TASKS.get(row["task"], row["task"]) == task:
            metric = _METRICS.get(row["metric"], row["metric"])
            if row["model"] is None or row["value"] is None:
                raise UserError(f"--published {path}, line {reader.line_num}: columns are missing", "mend that line")
            cells.setdefault(metric, []).append((row["model"], row["tag"], row["value"]))
    if not cells:
        raise UserError(f"--published {path} has no scores of {task}", "add rows of that task, or name another file")
    return {metric: _collect(found, str(path)) for metric, found in cells.items()}


def tag_of(column: str) -> str:
    """Return the label of a column, or :data:`OVERALL`.

    >>> [tag_of(name) for name in ("map_female voice", "precision_class_<10>_micro", "r2_a")]
    ['female voice', '10', '__all__']

    Raises:
        UserError: The files have no such column.
    """
    if column.startswith("precision_class_<") and column.endswith(">_micro"):
        return column.removeprefix("precision_class_<").removesuffix(">_micro")
    for prefix in ("map_", "roc-auc_"):
        if column.startswith(prefix):
            return column.removeprefix(prefix)
    if column in OVERALL_COLUMNS:
        return OVERALL
    raise UserError(
        f"{column!r} is not a column of the published files of scores",
        "delete the file and fetch it again",
    )


def _collect(cells: Iterable[tuple[str, str, str]], source: str) -> PublishedLabels:
    labels: dict[str, dict[str, float]] = {}
    overall: dict[str, float] = {}
    for name, tag, text in cells:
        model = MODELS.get(name, name)
        if model not in MODELS.values():
            raise UserError(f"{source}: {name!r} is not one of the models", f"write one of {', '.join(MODELS)}")
        own = labels.setdefault(model, {})
        try:
            value = float(text) if text.strip() else math.nan
        except ValueError:
            raise UserError(f"{source}: the score of {name} on {tag} is {text!r}", "write a number") from None
        if math.isnan(value):  # one column of MSD500 is empty
            continue
        if tag == OVERALL:
            overall[model] = value
        else:
            own[tag] = value
    return PublishedLabels(labels, overall)


def _format_tasks() -> str:
    return ", ".join(dict.fromkeys(file.task for file in FILES))
