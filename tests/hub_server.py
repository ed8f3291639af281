"""A server on the loopback that speaks the protocol of the Hugging Face hub: what a commit holds, and its files."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin")  # what the hub keeps beside git


@dataclass
class Repository:
    """A model on the server: its commits, each with its files by name; the last is that of ``main``."""

    commits: dict[str, dict[str, bytes]]
    gated: bool = False
    cut: dict[str, int] = field(default_factory=dict)  # bytes of a file after which the first answer breaks off
    sent: dict[str, bytes] = field(default_factory=dict)  # what is sent in place of a file

    def files(self, revision):
        return self.commits.get(list(self.commits)[-1] if revision in ("main", None) else revision)


class HubServer:
    """Serves models by their ids and remembers what was asked for: (method, path, Range, Authorization)."""

    def __init__(self):
        self.models: dict[str, Repository] = {}
        self.asked: list[tuple[str, str, str | None, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body):
                path = unquote(urlsplit(self.path).path)
                server.asked.append((self.command, path, self.headers.get("Range"), self.headers.get("Authorization")))
                if path.startswith("/api/models/"):
                    self.info(path.removeprefix("/api/models/"))
                    return
                before, _, rest = path.removeprefix("/").partition("/resolve/")
                model, (revision, _, name) = server.models.get(before), rest.partition("/")
                if model is None:
                    self.refuse(404, "RepoNotFound")
                elif model.gated and self.headers.get("Authorization") != "Bearer hf_accepted":
                    self.refuse(401, "GatedRepo")
                elif (files := model.files(revision)) is None:
                    self.refuse(404, "RevisionNotFound")
                elif name not in files:
                    self.refuse(404, "EntryNotFound")
                else:
                    self.file(model, name, files[name], revision, body)

            def info(self, path):
                before, _, revision = path.partition("/revision/")
                model = server.models.get(before)
                files = None if model is None else model.files(revision or None)
                if model is None:
                    self.refuse(404, "RepoNotFound")
                elif files is None:
                    self.refuse(404, "RevisionNotFound")
                else:
                    sha = next(commit for commit, each in model.commits.items() if each is files)
                    siblings = [described(name, content) for name, content in files.items()]
                    self.send(
                        200, json.dumps({"id": before, "sha": sha, "gated": model.gated, "siblings": siblings}).encode()
                    )

            def file(self, model, name, content, revision, body):
                content, start = model.sent.get(name, content), 0
                if asked := self.headers.get("Range"):
                    start = int(asked.removeprefix("bytes=").rstrip("-"))
                headers = {"ETag": f'"{described(name, content)["blobId"]}"', "X-Repo-Commit": revision}
                headers |= {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
                cut = model.cut.pop(name, None) if body else None
                self.send(206 if start else 200, content[start:] if body else content, headers, body, cut)

            def refuse(self, status, code):
                self.send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

            def send(self, status, content, headers=(), body=True, cut=None):
                self.send_response(status)
                for key, value in dict(headers).items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body:
                    self.wfile.write(content if cut is None else content[:cut])

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, commit: str, folder: Path, **options: object) -> Repository:
        """Serve the files of a folder as a commit of a model."""
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        model = self.models.setdefault(name, Repository({}, **options))
        model.commits[commit] = files
        return model


def described(name: str, content: bytes) -> dict[str, object]:
    """Return what the hub says of a file: its size, git's digest, and the sha256 of a large one."""
    digest = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    large = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return {
        "rfilename": name, "size": len(content), "blobId": digest, **({"lfs": large} if name.endswith(LARGE) else {}),
    }  # fmt: skip
