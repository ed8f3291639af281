import os
import re
import time

import pytest
from pydantic import ValidationError

from tasks.card import Columns, ProbeSettings, TaskCard, read_card
from tasks.errors import TaskError
from tasks.metrics.table import metrics_of

CARD = """\
id = "phil_pitch"
title = "Philharmonia notes: pitch"
kind = "multiclass"
metrics = ["accuracy"]
manifest = "manifest.csv"
columns = { id = "track_id", audio = "path", split = "split", target = "pitch" }
"""
TARGETS = '["valence", "arousal"]'
MOOD = (
    CARD.replace("multiclass", "regression")
    .replace('["accuracy"]', '["r2_valence"]')
    .replace('"pitch" }', TARGETS + "}")
)


@pytest.fixture
def card(tmp_path):
    """Write a card and read it."""

    def read(text, encoding="utf-8"):
        path = tmp_path / "card.toml"
        path.write_bytes(text.encode(encoding))
        return read_card(path)

    return read


@pytest.fixture
def refusal(card, tmp_path):
    """Return the lines that say what is wrong with a card, after the one that names its file."""

    def read(text):
        with pytest.raises(TaskError) as error:
            card(text)
        first, *lines = str(error.value).splitlines()
        assert str(tmp_path / "card.toml") in first
        return [line.strip() for line in lines] or first

    return read


# what a card may say


def test_the_shortest_card_has_these_defaults(card):
    found = card(CARD)
    assert found == TaskCard(
        id="phil_pitch",
        title="Philharmonia notes: pitch",
        kind="multiclass",
        metrics=("accuracy",),
        manifest="manifest.csv",
        columns=Columns(id="track_id", audio="path", split="split", target="pitch"),
    )
    assert found.probe is None
    assert (found.columns.group, found.labels, found.window_seconds, found.hop_seconds) == (None,) * 4
    assert (found.collection, found.sizes, found.version) == (None, None, 1)
    assert found.targets == ("pitch",)


def test_every_key_of_a_users_card_is_read(card):
    found = card(
        CARD.replace('"pitch" }', '"pitch", group = "artist" }')
        + """
labels = ["60", "59", "61"]
window_seconds = 3
hop_seconds = 1.5
[probe]
hidden = [512, 64]
dropout = 0
batch_size = 32
"""
    )
    assert found.columns.group == "artist"
    assert found.labels == ("60", "59", "61")
    assert (found.window_seconds, found.hop_seconds) == (3.0, 1.5)
    assert found.probe == ProbeSettings(hidden=(512, 64), dropout=0.0, batch_size=32)


def test_every_other_key_is_read(card):
    found = card(
        CARD.replace("manifest", "collection", 1)
        + """
version = 3
description = "What note is it?"
aliases = ["pitch"]
groups = ["phil", "all_of_mine"]
sizes = { train = 5, test = 2 }
licence = "CC BY 4.0"
audio = "By hand"
citation = "Nobody 2020"
deviations = ["one", "two"]
"""
    )
    assert (found.collection, found.manifest, found.version) == ("manifest.csv", None, 3)
    assert (found.aliases, found.groups) == (("pitch",), ("phil", "all_of_mine"))
    assert found.sizes == {"train": 5, "test": 2}
    assert (found.description, found.licence, found.audio) == ("What note is it?", "CC BY 4.0", "By hand")
    assert (found.citation, found.deviations) == ("Nobody 2020", ("one", "two"))


def test_the_schema_has_no_key_that_these_tests_do_not_know():
    required = {"id", "title", "kind", "metrics"}
    users = {"columns", "manifest", "labels", "window_seconds", "hop_seconds", "probe", "distinct_labels"}
    users |= {"distinct_groups"}
    extras = {"collection", "version", "description", "aliases", "groups", "sizes", "licence", "audio", "citation"}
    built_in = {"deviations", "outputs", "table1", "split_rule", "label_source", "counts_verified", "documented"}
    assert set(TaskCard.model_fields) == required | users | extras | built_in
    assert {name for name, field in TaskCard.model_fields.items() if field.is_required()} == required
    assert set(Columns.model_fields) == {"id", "audio", "split", "fold", "target", "group"}
    assert set(ProbeSettings.model_fields) == {"hidden", "dropout", "batch_size"}


def test_regression_has_a_metric_for_each_target(card):
    found = card(MOOD.replace('["r2_valence"]', '["r2_arousal", "r2_valence"]'))
    assert found.targets == ("valence", "arousal")
    assert found.metrics == ("r2_arousal", "r2_valence")
    assert metrics_of(found.kind, found.targets) == ("r2_valence", "r2_arousal")
    assert card(MOOD.replace(TARGETS, '"valence"')).targets == ("valence",)


def test_no_hidden_layer_is_a_probe_too(card):
    assert card(CARD + "[probe]\nhidden = []").probe.hidden == ()


def test_a_card_may_start_with_a_byte_order_mark_and_end_lines_as_windows_does(card):
    assert card(CARD.replace("\n", "\r\n"), "utf-8-sig") == card(CARD)


def test_a_card_cannot_be_changed(card):
    found = card(CARD)
    with pytest.raises(ValidationError, match="frozen"):
        found.id = "other"


# what is refused


@pytest.mark.parametrize("key", ["id", "title", "kind", "metrics"])
def test_a_missing_key_is_named(refusal, key):
    text = "".join(line for line in CARD.splitlines(keepends=True) if not line.startswith(key))
    assert refusal(text) == [f"{key}: is missing"]


def test_a_manifest_needs_columns_and_columns_leave_no_outputs(refusal):
    without = "".join(line for line in CARD.splitlines(keepends=True) if not line.startswith("columns"))
    assert refusal(without) == ["a card with a manifest needs columns"]
    assert refusal(CARD + 'outputs = ["x"]\n') == ["outputs are for cards without columns"]


def test_columns_name_a_split_or_a_fold(refusal, card):
    columns = CARD.splitlines()[-1]
    assert "split = " in columns
    problem = ["columns names either split (train, valid, test) or fold: without any, 'bench data split' writes one"]
    assert refusal(CARD.replace("split = ", "fold = ").replace("}", ', split = "split"}')) == problem
    named = re.search(r'split = "(\w+)"', columns)
    assert refusal(CARD.replace(f", {named[0]}", "")) == problem
    assert card(CARD.replace("split = ", "fold = ")).columns.fold == named[1]
    sized = CARD.replace(columns, "sizes = {train = 1}\n" + columns).replace("split = ", "fold = ")
    assert refusal(sized) == ["sizes are those of splits, and the card has folds: leave them out"]


@pytest.mark.parametrize("key", ["id", "audio", "target"])
def test_a_missing_column_is_named(refusal, key):
    columns = CARD.splitlines()[-1]
    assert refusal(CARD.replace(columns, columns.replace(f"{key} = ", f"x{key} = "))) == [
        f"columns.{key}: is missing",
        f"columns.x{key}: unknown key; did you mean {key!r}?",
    ]


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ('lables = ["60"]', "lables: unknown key; did you mean 'labels'?"),
        ("windw_seconds = 3", "windw_seconds: unknown key; did you mean 'window_seconds'?"),
        ('license = "CC0"', "license: unknown key; did you mean 'licence'?"),
        ("zzzz = 1", "zzzz: unknown key"),
        ("[probe]\nhiden = [3]", "probe.hiden: unknown key; did you mean 'hidden'?"),
        ("[probe]\nbatchsize = 3", "probe.batchsize: unknown key; did you mean 'batch_size'?"),
        ("[probe]\nzzzz = 3", "probe.zzzz: unknown key"),
        ("[probe.hidden_layers]\nfirst = 3", "probe.hidden_layers: unknown key; did you mean 'hidden'?"),
        # In TOML all that follows a [table] is in it.
        (
            "[probe]\nwindow_seconds = 3",
            "probe.window_seconds: unknown key; it belongs to the card itself, above [probe]",
        ),
    ],
)
def test_an_unknown_key_is_named_with_the_one_that_may_be_meant(refusal, extra, problem):
    assert refusal(CARD + extra) == [problem]


def test_an_unknown_column_key_is_named_with_the_one_that_may_be_meant(refusal):
    for key, near in {"groups": "group", "Split": "split", "audio_path": "audio"}.items():
        found = refusal(CARD.replace('"pitch" }', f'"pitch", {key} = "artist" }}'))
        assert found == [f"columns.{key}: unknown key; did you mean {near!r}?"]


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ('window_seconds = "3"', "window_seconds: Input should be a valid number"),
        ("window_seconds = true", "window_seconds: Input should be a valid number"),
        ("window_seconds = 2020-01-01", "window_seconds: Input should be a valid number"),
        ("window_seconds = 0", "window_seconds: Input should be greater than or equal to 0.001"),
        ("window_seconds = 1e-4", "window_seconds: Input should be greater than or equal to 0.001"),
        ("window_seconds = 86400", "window_seconds: Input should be less than or equal to 3600"),
        ("window_seconds = 3\nhop_seconds = 0.0001", "hop_seconds: Input should be greater than or equal to 0.001"),
        (
            "window_seconds = 3\nhop_seconds = 0.0025",
            "hop_seconds is 0.0025: for windows of 3 s it is from 0.003 to 60 seconds",
        ),
        (
            "window_seconds = 3\nhop_seconds = 2000",
            "hop_seconds is 2000: for windows of 3 s it is from 0.003 to 60 seconds",
        ),
        ("window_seconds = inf", "window_seconds: Input should be a finite number"),
        ("window_seconds = nan", "window_seconds: Input should be a finite number"),
        ("window_seconds = 3\nhop_seconds = -1", "hop_seconds: Input should be greater than or equal to 0.001"),
        ("version = 1.0", "version: Input should be a valid integer"),
        ('version = "1"', "version: Input should be a valid integer"),
        ("labels = [60, 61]", "labels.0: Input should be a valid string"),
        ('labels = "60"', "labels: Input should be a valid array"),
        ('labels = ["60", ""]', "labels.1: String should have at least 1 character"),
        ("description = 3", "description: Input should be a valid string"),
        ('aliases = "a"', "aliases: Input should be a valid array"),
        ("sizes = { train = 1.5 }", "sizes.train: Input should be a valid integer"),
        ("sizes = { dev = 1 }", "sizes.dev.[key]: Input should be 'train', 'valid' or 'test'"),
        ("[probe]\nhidden = 512", "probe.hidden: Input should be a valid array"),
        ("[probe]\nhidden = [512.0]", "probe.hidden.0: Input should be a valid integer"),
        ("[probe]\nhidden = [512, 0]", "probe.hidden.1: Input should be greater than 0"),
        ("[probe]\nbatch_size = 256.0", "probe.batch_size: Input should be a valid integer"),
        ("[probe]\nbatch_size = 0", "probe.batch_size: Input should be greater than 0"),
        ('[probe]\ndropout = "0.5"', "probe.dropout: Input should be a valid number"),
        ("[probe]\ndropout = 1.0", "probe.dropout: Input should be less than 1"),
        ("[probe]\ndropout = -0.1", "probe.dropout: Input should be greater than or equal to 0"),
        ("probe = 3", "probe: Input should be an object"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_key(refusal, extra, problem):
    assert refusal(CARD + extra)[0] == problem


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"multiclass"', '"regresion"', "kind: Input should be 'multiclass', 'multilabel' or 'regression'"),
        ('"multiclass"', "3", "kind: Input should be 'multiclass', 'multilabel' or 'regression'"),
        ('["accuracy"]', '"accuracy"', "metrics: Input should be a valid array"),
        ('["accuracy"]', "[]", "metrics: Tuple should have at least 1 item after validation, not 0"),
        ('"phil_pitch"', '"a/b"', "id: String should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]*$'"),
        ('"phil_pitch"', '""', "id: String should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]*$'"),
        ('"phil_pitch"', '"../x"', "id: String should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]*$'"),
        ('"phil_pitch"', '"x\\n"', "id: String should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]*$'"),
        ('"Philharmonia notes: pitch"', "7", "title: Input should be a valid string"),
        ('"manifest.csv"', '""', "manifest: String should have at least 1 character"),
        ('"track_id"', '""', "columns.id: String should have at least 1 character"),
        ('"track_id"', "1", "columns.id: Input should be a valid string"),
        ('"pitch" }', "3 }", "columns.target: should be the name of a column or, for regression, a list of names"),
        ('"pitch" }', "[3] }", "columns.target: should be the name of a column or, for regression, a list of names"),
        ('"pitch" }', "[] }", "columns.target: should be the name of a column or, for regression, a list of names"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_key(refusal, old, new, problem):
    assert CARD.count(old) == 1
    assert refusal(CARD.replace(old, new)) == [problem]


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        ("multiclass", "map"),
        ("multiclass", "r2_pitch"),
        ("multilabel", "accuracy"),
        ("multilabel", "weighted_accuracy"),
        ("regression", "accuracy"),
        ("regression", "r2"),
        ("regression", "r2_other"),
        ("multiclass", "Accuracy"),
    ],
)
def test_a_metric_that_does_not_suit_the_kind_is_refused_with_those_that_do(refusal, kind, metric):
    (problem,) = refusal(CARD.replace("multiclass", kind).replace("accuracy", metric))
    suited = ", ".join(metrics_of(kind, ("pitch",)))
    assert problem == f"metric {metric!r} does not suit kind {kind!r}: choose from {suited}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (CARD.replace('manifest = "manifest.csv"\n', ""), "a card names either a manifest or a built-in collection"),
        (CARD + 'collection = "demo"', "a card names either a manifest or a built-in collection"),
        (CARD.replace('["accuracy"]', '["accuracy", "accuracy"]'), "a metric is named twice"),
        (CARD.replace('"pitch" }', TARGETS + "}"), "kind 'multiclass' has one target column, not 2"),
        (MOOD.replace("arousal", "valence"), "a target column is named twice"),
        (MOOD + 'labels = ["valence"]', "a regression task has no labels"),
        (CARD + 'labels = ["60", "61", "60"]', "a label stands twice in labels"),
        (CARD + "labels = []", "labels is empty: leave it out, or name them all"),
        (CARD + "hop_seconds = 1", "hop_seconds needs window_seconds"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(refusal, text, problem):
    assert refusal(text) == [problem]


def test_a_label_that_no_cell_can_hold_is_refused(refusal, card):
    tags = CARD.replace("multiclass", "multilabel").replace("accuracy", "map")
    for text in (CARD + 'labels = ["60", " 61"]', tags + 'labels = ["rock|pop"]'):
        (problem,) = refusal(text)
        assert problem.startswith("no manifest can have the label")
    assert card(CARD + 'labels = ["rock|pop"]').labels == ("rock|pop",)  # one label a cell: nothing is split


def test_all_problems_are_told_at_once(refusal):
    text = CARD.replace("title =", "titel =").replace('"track_id"', "3") + "version = 1.5\n[probe]\ndropout = 2"
    assert [line.partition(":")[0] for line in refusal(text)] == [
        "title",
        "columns.id",
        "probe.dropout",
        "version",
        "titel",
    ]


# files that are no cards


def test_a_card_that_is_not_there_is_named_with_what_to_do(tmp_path):
    with pytest.raises(TaskError, match=r"no task card at .*none\.toml: check the path.*'bench tasks'"):
        read_card(tmp_path / "none.toml")


def test_a_folder_is_no_card(tmp_path):
    with pytest.raises(TaskError, match=f"cannot read {tmp_path}: it is a folder"):
        read_card(tmp_path)


def test_a_card_in_another_encoding_is_refused(card):
    with pytest.raises(TaskError, match=r"card\.toml is not UTF-8 text \(.* in line \d+\)"):
        card(CARD.replace("notes", "études"), "latin-1")


@pytest.mark.parametrize("extra", ["labels = [", "x", 'id = "twice"', "[probe]\n[probe]"])
def test_a_syntax_error_is_refused_with_its_line(refusal, extra):
    found = refusal(CARD + extra)
    assert "is not valid TOML" in found
    assert "line" in found or "end of document" in found


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('manifest = "a\\u0000b"', "manifest: "),
        ("window_seconds = 1e9", "window_seconds: "),
        ("window_seconds = -3.0", "window_seconds: "),
        ("window_seconds = nan", "window_seconds: "),
        ("window_seconds = 3.0\nhop_seconds = 0.0001", "hop_seconds"),
        ("version = " + "9" * 5000, "is not valid TOML: .*digits"),
        ("version = " + "9" * 100, "a whole number of more than 64 bits"),
        ("sizes = { train = -1 }", "sizes.train: "),
        ("sizes = { train = 1" + "0" * 30 + " }", "a whole number of more than 64 bits"),
        ("probe = { hidden = [1000000000] }", "probe.hidden.0: "),
        ("probe = { hidden = [" + "1, " * 1000 + "] }", "probe.hidden: "),
        ("a = " + "[" * 50_000, "nested too deep"),
        ("a" + ".b" * 50_000 + " = 1", "a key of more than 200 parts"),
        ("\n".join(f"k{i} = 1" for i in range(20_000)), r"k0: unknown key.*and 19980 more"),
        ("# " + "x" * 1_000_000, "such a file may have 1,000,000"),
    ],
)
def test_hostile_values_are_refused_at_once(tmp_path, line, words):
    text = 'id = "x"\ntitle = "T"\nkind = "multiclass"\nmetrics = ["accuracy"]\n'
    text += "" if "manifest" in line else 'manifest = "m.csv"\n'
    (tmp_path / "card.toml").write_text(
        f'{text}columns = {{ id = "i", audio = "a", split = "s", target = "t" }}\n{line}\n'
    )
    began = time.process_time()
    with pytest.raises(TaskError, match=rf"(?s){words}"):
        read_card(tmp_path / "card.toml")
    assert time.process_time() - began < 20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files on this system")
def test_a_pipe_is_no_card(tmp_path):
    os.mkfifo(tmp_path / "card.toml")
    with pytest.raises(TaskError, match="it is a pipe, not a file"):
        read_card(tmp_path / "card.toml")
