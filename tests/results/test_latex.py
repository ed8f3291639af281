"""Text in LaTeX: it stands as it is, whatever signs it has, and reads back as the same text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.latex import beyond_latin, latex
from results.markdown import inert

SIGNS = {
    r"\textbackslash{}": "\\", r"\{": "{", r"\}": "}", r"\$": "$", r"\&": "&", r"\%": "%", r"\#": "#", r"\_": "_",
    r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<", r"\textgreater{}": ">",
    r"\textbar{}": "|", r"\textasciigrave{}": "`", r"\symbol{34}": '"', "{[}": "[", "{]}": "]", "{*}": "*",
    "-{}": "-", "'{}": "'",
}  # fmt: skip


def read_back(text):
    """Return what LaTeX prints of a text that has none but ASCII signs; fail on a sign that is left bare."""
    pattern = "|".join(re.escape(sign) for sign in sorted(SIGNS, key=len, reverse=True))
    found = "".join(SIGNS.get(part, part) for part in re.split(f"({pattern})", text))
    bare = re.sub(pattern, "", text)
    assert not re.search(r"[\\{}$&%#_~^<>|`\"\[\]*]|--|''", bare), text
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 50% #1", r"a\_b \& 50\% \#1"),
        ("~^\\{}$", r"\textasciitilde{}\textasciicircum{}\textbackslash{}\{\}\$"),
        ("[37] *", "{[}37{]} {*}"),  # behind the end of a row both would be its arguments
        ("a--b ''c''", "a-{}-b '{}'c'{}'"),
        ("Björk é ñ ø ß", r"Bj\"{o}rk \'{e} \~{n} \o{} \ss{}"),
        ("F♯ – B♭", r"F$\sharp$ \textendash{} B$\flat$"),
        ("two\n lines", "two lines"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("a\x1b[31mb", r"a\textbackslash{}u001b{[}31mb"),
    ],
)
def test_no_sign_is_a_command(text, expected):
    assert latex(text) == expected


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_whatever_is_ascii_reads_back(text):
    assert read_back(latex(text)) == " ".join(text.split())


@given(st.text())
def test_what_is_not_ascii_is_told(text):
    left = {sign for sign in latex(text) if not sign.isascii()}
    assert left == set(beyond_latin(text))
    assert latex(text).count("\n") == 0


def test_letters_of_other_scripts_stay_and_are_told():
    assert latex("音楽 é") == r"音楽 \'{e}"
    assert beyond_latin("音楽 é 音") == "音楽"


def test_signs_that_hide_show_by_number():
    text = "a\u202eb\u200b"
    assert latex(text) == r"a\textbackslash{}u202eb\textbackslash{}u200b"
    assert latex(inert(text)) == latex(text)
