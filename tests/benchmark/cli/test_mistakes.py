"""Mistakes of the command line are answered in the first line, with the command that was meant."""

import pytest

from benchmark.cli.main import main
from benchmark.cli.mistakes import EXAMPLES


def first_line(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in errors
    return errors.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("run logmel demo_key", "did you mean bench run -e logmel -t demo_key"),
        ("run demo_key logmel --trials 3", "did you mean bench run -e logmel -t demo_key --trials 3"),
        ("run -e logmel demo_key", "did you mean bench run -e logmel -t demo_key"),
        ("run logmel -t demo_key", "did you mean bench run -t demo_key -e logmel"),
        ("run demo_key", "did you mean bench run -e logmel -t demo_key"),
        ("embed logmel demo_key", "did you mean bench embed -e logmel -t demo_key"),
        ("run -e logmel mfcc -t demo_key", "several encoders are named with commas, -e logmel,mfcc"),
        ("run -e logmel -t demo_key demo_tags", "several tasks are named with commas, -t demo_key,demo_tags"),
        ("run", "For example: bench run -e logmel -t demo_key"),
        ("run -e logmel -t demo_key --trails 3", "No such option: --trails: did you mean --trials"),
        ("leaderboard --ouput x.md", "did you mean --output"),
        ("run -e logmel -t demo_key --debug", "it goes before the command: bench --debug run"),
        ("run -e", "Option '-e' requires an argument. See 'bench run --help'"),
        ("rnu", "Did you mean 'run'? See 'bench --help'"),
        ("data ftch", "Did you mean 'fetch'? See 'bench data --help'"),
        ("data fetch", "For example: bench data fetch gtzan"),
        ("compare logmel", "For example: bench compare logmel chroma"),
        ("reproduce a b", "cannot place b. See 'bench reproduce --help'"),
        ("run -e logmel -t demo_key --device gpu", "did you mean --device cuda?"),
        ("run -e logmel -t demo_key --device gpu:1", "did you mean --device cuda:1?"),
        ("run -e logmel -t demo_key --device CUDA", "did you mean --device cuda?"),
        ("run -e logmel -t demo_key --device cdua", "did you mean --device cuda?"),
        ("run -e logmel -t demo_key --device here", "Give auto, cpu, cuda, cuda:1, ... or mps"),
        ("run -e lgomel -t demo_key", "did you mean 'logmel'? 'bench encoders' lists all"),
        ("run -e zzzz -t demo_key", "'bench encoders' lists all, and the other ways to name one"),
        ("run -e hff:a/b -t demo_key", "did you mean 'hf:a/b'?"),
        ("run -e logmel -t demo_kye", "did you mean 'demo_key'"),
        (
            "run -e logmel -t demo_key --track tensorbord",
            "is no tracker: did you mean 'tensorboard'?",
        ),
        ("run -e logmel -t demo_key --config rnu.toml", "there is no file rnu.toml. Check the path of --config"),
        ("encoders lgomel", "did you mean 'logmel'?"),
    ],
)
def test_the_first_line_holds_the_answer(capsys, tmp_path, monkeypatch, words, answer):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    assert answer in first_line(capsys, *words.split())


@pytest.mark.parametrize("words", ["run -e lgomel -t demo_key", "encoders zzzz", "run -e hff:a/b -t demo_key", "run"])
def test_no_list_follows_where_a_command_gives_it(capsys, words):
    with pytest.raises(SystemExit):
        main(words.split())
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("group", ["", "data", "cache"])
def test_a_group_alone_gives_an_example_first_and_its_commands(capsys, group):
    with pytest.raises(SystemExit) as ended:
        main(group.split())
    assert ended.value.code == 2
    first, *lines = capsys.readouterr().err.splitlines()
    path = f"bench {group}".strip()
    assert first == f"bench: name a command, such as: {EXAMPLES[path]}"
    assert len(lines) > 0
    assert all(line.startswith("  ") for line in lines)


@pytest.mark.parametrize("example", sorted(set(EXAMPLES.values())))
def test_examples_are_commands_with_options_that_there_are(example):
    """Parsed and not called: that a word follows each argument is what is held here."""
    import typer

    from benchmark.cli.main import app

    words = example.split()[1:]
    group = typer.main.get_command(app)
    with group.make_context("bench", list(words)) as context:
        while hasattr(context.command, "resolve_command"):
            name, command, words = context.command.resolve_command(context, words)
            context = command.make_context(name, list(words), parent=context)
            if not words or not hasattr(command, "commands"):
                break


class TestRecords:
    def test_a_folder_of_results_names_a_record_of_it(self, capsys, tmp_path):
        record = tmp_path / "runs" / "demo_key" / "logmel.json"
        record.parent.mkdir(parents=True)
        record.write_text("{}")
        assert first_line(capsys, "reproduce", str(tmp_path)).endswith(f"name one, such as {record}")
        assert first_line(capsys, "reproduce", str(record.parent)).endswith(f"name one, such as {record}")

    def test_an_empty_folder_says_what_a_record_is_called(self, capsys, tmp_path):
        assert f"{tmp_path} is a folder, not the JSON file of a record" in first_line(
            capsys, "reproduce", str(tmp_path)
        )

    def test_the_folder_of_a_probe_says_what_uses_it(self, capsys, tmp_path):
        (tmp_path / "probe.json").write_text("{}")
        assert "bench predict --probe" in first_line(capsys, "reproduce", str(tmp_path))

    def test_predictions_name_the_record_beside_them(self, capsys, tmp_path):
        (tmp_path / "logmel.json").write_text("{}")
        (tmp_path / "mfcc.json").write_text("{}")
        predictions = tmp_path / "mfcc.0123456789ab.parquet"
        predictions.write_bytes(b"PAR1")
        assert first_line(capsys, "reproduce", str(predictions)).endswith(f"such as {tmp_path / 'mfcc.json'}")


@pytest.mark.parametrize("command", ["leaderboard", "tasks --markdown"])
@pytest.mark.parametrize("name", ["x.html", "x.pdf", "x.csv", "x.json"])
def test_markdown_is_written_under_no_other_name(capsys, tmp_path, command, name):
    line = first_line(capsys, *command.split(), "-o", str(tmp_path / name))
    assert line.endswith(f"give a name that ends in .md, -o {tmp_path / 'x.md'}")
    assert not (tmp_path / name).exists()
