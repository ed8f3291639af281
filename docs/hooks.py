"""Hooks of the site: pages that lie elsewhere in the repository, links to files that are no pages, the options."""

from __future__ import annotations

import inspect
import logging
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.plugins.site")

#: Files beside ``docs/`` that are pages of the site, by their path in the repository.
PAGES = {
    "README.md": "index.md",
    "leaderboard.md": "leaderboard.md",
    "leaderboard-full.md": "leaderboard-full.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s#]+)(#[^()\s]*)?\)")
FENCED = re.compile(r"(^```.*?^```$|^    .*?$)", re.MULTILINE | re.DOTALL)
ROLE = re.compile(r":(?:mod|func|class|meth|data|attr):<code>~?([\w.]+)</code>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie beside ``docs/``."""
    from mkdocs.structure.files import File

    for path, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(root_of(config) / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Return the text of a page with links that hold in the site, and the options where a comment asks for them."""
    sources = {name: path for path, name in PAGES.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    text = markdown.replace("<!-- options -->", options_table()) if "<!-- options -->" in markdown else markdown
    return relink(text, source, root_of(config), log.warning)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Return the page with the names that docstrings mark by a role of Sphinx as code; scores are not broken."""
    text = ROLE.sub(r"<code>\1</code>", html)
    return f'<div class="scores">{text}</div>' if page.file.src_uri.startswith("leaderboard") else text


def root_of(config: MkDocsConfig) -> Path:
    """Return the folder of the repository."""
    return Path(str(config.config_file_path)).resolve().parent


def relink(text: str, source: str, root: Path, warn: Callable[[str], object]) -> str:
    """Return the text of the file ``source`` with its links as the site needs them.

    A link to a page leads to the page; one to another file of the repository becomes the text of the link. What stands
    in blocks of code stays as it is.

    Args:
        text: Markdown.
        source: Path of the file in the repository.
        root: Folder of the repository.
        warn: Called with a sentence for each link to a file that is not there.
    """

    def replaced(match: re.Match[str]) -> str:
        picture, label, target, anchor = match.groups()
        if re.match(r"[a-z]+:", target):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (root / path).exists():
            warn(f"{source} links to {target}, and there is no file {path}")
            return match[0]
        if path in PAGES or path.startswith("docs/"):
            return f"{picture}[{label}]({PAGES.get(path, path.removeprefix('docs/'))}{anchor or ''})"
        return f"`{label}`" if "/" in label and "`" not in label else str(label)

    parts = FENCED.split(text)
    return "".join(part if i % 2 else LINK.sub(replaced, part) for i, part in enumerate(parts))


def options_table() -> str:
    """Return the options of a run as a Markdown table, from where they are written once."""
    from benchmark.jobs.options import option_list

    rows = ["| keyword | on the command line | values | default | what it is |", "| --- | --- | --- | --- | --- |"]
    for option in option_list():
        kind = " or ".join(option.choices) or inspect.formatannotation(option.type).replace(" | ", " or ")
        cells = (f"`{option.name}`", f"`{option.text}`", f"`{kind}`", f"`{option.default!r}`", option.flag.help)
        rows.append(re.sub(r"(collections\.abc|pathlib)\.", "", f"| {' | '.join(cells)} |"))
    return "\n".join(rows)
