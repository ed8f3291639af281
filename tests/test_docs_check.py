"""The check of the pages: what it reads of them, what it takes for equal, and which bad pages it reports."""

import pytest

import tests.docs_check as docs_check
from tests.docs_check import Difference, PageError, parse, same


def page(tmp_path, text):
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    return docs_check.check(["page.md"], tmp_path)


def block(*lines):
    return "\n".join(["# Title", "", "```console", *lines, "```", ""])


def test_a_page_that_says_what_is_printed_has_no_differences(tmp_path):
    text = block("$ echo one; echo two", "one", "two", "$ true", "$ printf 'a\\nb\\nc\\n'", "a", "…")
    assert page(tmp_path, text) == ([], 3, [])


def test_wrong_output_is_told_with_its_line(tmp_path):
    found, _, _ = page(tmp_path, block("$ printf 'one\\ntwo\\n'", "one", "three"))
    assert found == [Difference("page.md", 6, "three", "two")]
    assert str(found[0]) == "page.md:6:\n  expected: three\n  printed:  two"


@pytest.mark.parametrize(
    ("lines", "line", "printed"),
    [
        (["$ echo one", "one", "two"], 6, "nothing more"),
        (["$ true", "one"], 5, "nothing more"),
        (["$ printf 'one\\ntwo\\n'", "one"], 5, "two"),
        (["$ echo one", "…", "two"], 6, "no such line in the 1 lines that are left"),
        (["$ printf 'b\\na\\n'", "…", "a", "b"], 7, "nothing more"),
        (["$ false"], 4, "exit code 1"),
        (["$ echo no >&2; exit 3", "no"], 4, "exit code 3: no"),
        (["$ echo 'bench: no' >&2; exit 1", "bench: no"], 4, "exit code 1: bench: no"),
        (["$ echo 'bench: no'", "bench: no"], 4, "exit code 0: bench: no"),
        (["$ no-such-program-here"], 4, "exit code 127: bash: line 1: no-such-program-here: command not found"),
        (["$ echo 0.5", "0.75"], 5, "0.5"),
        (["$ echo 120 items", "121 items"], 5, "120 items"),
    ],
)
def test_every_kind_of_difference_is_told(tmp_path, lines, line, printed):
    found, _, _ = page(tmp_path, block(*lines))
    assert [(each.line, each.printed) for each in found] == [(line, printed)]


def test_a_message_of_a_command_that_is_to_fail_is_compared(tmp_path):
    command = "$ echo 'bench: no task fits' >&2; exit 2"
    assert page(tmp_path, block(command, "bench: no task fits")) == ([], 1, [])
    found, _, _ = page(tmp_path, block(command, "bench: no encoder fits"))
    assert found == [Difference("page.md", 5, "bench: no encoder fits", "bench: no task fits")]


def test_a_command_that_hangs_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(docs_check, "SECONDS", 0.2)
    found, _, _ = page(tmp_path, block("$ sleep 20"))
    assert [each.line for each in found] == [4]


def test_blocks_are_left_out_with_a_reason_alone(tmp_path):
    text = "<!-- docs-check: not run, it fetches weights -->\n" + block("$ false").removeprefix("# Title\n\n")
    assert page(tmp_path, text) == ([], 0, ["page.md:3: not run, it fetches weights"])


def test_files_are_written_where_commands_run(tmp_path):
    text = "<!-- docs-check: file sub/hello.py -->\n```python\nprint('hello')\n```\n" + block(
        "$ python sub/hello.py", "hello"
    )
    assert page(tmp_path, text) == ([], 1, [])


def test_words_of_commands_are_replaced_and_lines_continued(tmp_path):
    text = "<!-- docs-check: … is two three -->\n" + block("$ echo one \\", "    …", "one two three")
    assert page(tmp_path, text) == ([], 1, [])


def test_commands_see_no_home_of_the_user_and_share_one_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", "/somewhere/else")
    monkeypatch.setenv("HOME", "/users/own")
    (tmp_path / "a.md").write_text(block("$ mkdir -p $BENCH_HOME; touch $BENCH_HOME/kept", "$ touch here"), "utf-8")
    (tmp_path / "b.md").write_text(
        block("$ ls $BENCH_HOME", "kept", "$ ls", "$ case $HOME in *docs-check*) ;; *) exit 1;; esac"), "utf-8"
    )
    assert docs_check.check(["a.md", "b.md"], tmp_path) == ([], 5, [])


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("<!-- docs-check: skip -->\n" + block("$ true"), 1, "unknown marker 'skip'"),
        ("<!-- docs-check: not run -->\n" + block("$ true"), 1, "unknown marker 'not run'"),
        ("<!-- docs-check: not run,  -->\n" + block("$ true"), 1, "unknown marker"),
        ("<!-- docs-check: file -->\n" + block("$ true"), 1, "unknown marker 'file'"),
        ("<!-- docs-check -->\n" + block("$ true"), 1, "unknown marker ''"),
        ("<!-- docs-check: not run, slow -->\nText.\n" + block("$ true"), 1, "no block follows"),
        ("<!-- docs-check: not run, slow -->\n", 1, "no block follows"),
        ("<!-- docs-check: not run, slow -->\n```python\n1\n```\n", 1, "are run or not run, others are files"),
        ("<!-- docs-check: file a -->\n```console\n$ true\n```\n", 1, "are run or not run, others are files"),
        ("```console\n$ true\n", 1, "does not end"),
        ("```console\nno command\n```\n", 2, "begins with a command"),
        ("```console\n```\n", 2, "has no command"),
    ],
)
def test_pages_that_cannot_be_understood_are_refused(text, line, what):
    with pytest.raises(PageError, match=rf"^page\.md:{line}: .*{what}"):
        parse("page.md", text)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a  b   c", "a b c"),
        ("----  -----", "------  -------"),
        ("accuracy 0.742", "accuracy 0.703"),
        ("steps 41.5", "steps 44.0"),
        ("took 1.5 s", "took 22 s"),
        ("about 19 min", "about 7 min"),
        ("disk 4.5 MB", "disk 120 MB"),
        ("5,528 times real time", "80 times real time"),
        ("made 2026-11-28T14:55:25+00:00", "made 2024-01-02 03:04:05"),
        ("in /tmp/a/b.json", "in /home/other/b.json"),
        ("key 7b334612edec3bbf", "key 0c789366da801c93"),
        ("weights in …/encoders/x.pt", "weights in /home/me/.cache/encoders/x.pt"),
        ("Speed: …", "Speed: 0.2 s a second"),
        ("-0.175 to -0.025", "-0.127 to -0.007"),
        ("0.642–0.842", "0.650–0.850"),
    ],
)
def test_what_counts_as_equal(shown, printed):
    assert same(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("logmel", "chroma"),
        ("accuracy 0.742", "accuracy 0.542"),
        ("120 items", "12 items"),
        ("demo_pitch2 is", "demo_pitch3 is"),
        ("in /tmp/a/b.json", "in /tmp/a/c.json"),
        ("fp32", "fp16"),
        ("a b", "a b c"),
        ("0.742", "-"),
        ("Speed: … seconds", "Speed: fast"),
        ("4.5 MB", "4.5 s"),
        ("0.833 !", "0.833"),
    ],
)
def test_what_counts_as_different(shown, printed):
    assert not same(shown, printed)


def test_every_page_of_the_repository_is_understood():
    names = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (docs_check.ROOT / "docs").glob("*.md"))]
    pages = [parse(name, (docs_check.ROOT / name).read_text(encoding="utf-8")) for name in names]
    run = [each for page in pages for each in page.blocks if each.kind == "console" and not each.not_run]
    assert len(run) >= 8


def test_the_exit_code_says_what_was_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(docs_check, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text(block("$ echo one", "one"), encoding="utf-8")
    assert docs_check.main(["page.md"]) == 0
    assert "1 commands were run, 0 blocks were not; 0 differences" in capsys.readouterr().out
    (tmp_path / "page.md").write_text(block("$ echo one", "two"), encoding="utf-8")
    assert docs_check.main(["page.md"]) == 1
    assert "page.md:5:\n  expected: two\n  printed:  one" in capsys.readouterr().out
    (tmp_path / "page.md").write_text("```console\n```\n", encoding="utf-8")
    assert docs_check.main(["page.md"]) == 2
    assert "page.md:2:" in capsys.readouterr().out
