"""The encoder card: a declarative, validated description of one named encoder, read from TOML.

A card names what opens the encoder (``opens``: an ``hf:`` name with its full commit, a built-in name, or any other text
of ``--encoder``), or says why nothing here can (``elsewhere``). What it says of the encoder is held against the model
when that is opened. What is not known is left out; what is only believed is listed in ``unverified``.
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmark.encoders.spec import EncoderSpec, parse
from benchmark.errors import UserError
from tasks.errors import TaskError
from tasks.files import SETTINGS, parse_toml, read_text
from tasks.spelling import did_you_mean

SHOWN = 20
COMMIT = r"^[0-9a-f]{40}$"
HUB_ID = r"^[\w.-]+/[\w.-]+$"
ID = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
#: Keys of an ``hf:`` name that the card says in places of their own.
SAID_ELSEWHERE = ("window", "hop", "normalize", "sample_rate")

Filled = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(ge=0.001, le=3600)]
Count = Annotated[int, Field(ge=1, le=10**12)]


class Part(BaseModel):
    """A part of a card: immutable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ignored_types=(cached_property,))


class Licences(Part):
    """Under which terms weights and code may be used; an absent one is not known."""

    weights: Filled | None = None
    code: Filled | None = None


class WeightsFile(Part):
    """The file of weights on the hub, and its sha256 and size in bytes where they are known."""

    file: Annotated[str, Field(pattern=r"^[\w-][\w.-]*(/[\w-][\w.-]*)*$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    size: Count | None = None


class Elsewhere(Part):
    """Why the encoder does not run in this environment, and what runs it.

    Attributes:
        reason: What of it cannot run here.
        packages: What an environment of its own needs, as pip takes it.
        env: The encoder as it is named once that environment is there.
    """

    reason: Filled
    packages: tuple[Filled, ...] = ()
    env: Annotated[str, Field(pattern=r"^env:.+::.+$")]


class EncoderCard(Part):
    """One named encoder.

    Attributes:
        id: What names it in ``--encoder``, in records and in tables.
        title: Its published name.
        aliases: Other names that are understood.
        family: What it is one of.
        description: What it is, in a line.
        opens: What opens it; ``hf:ID@COMMIT`` for a model of the hub.
        elsewhere: Why nothing here opens it, and what does.
        hub: Its id on the hub, where ``opens`` does not say it.
        commit: The full commit, likewise.
        weights: The file of weights.
        licence: Of weights and code.
        sample_rate: Hz of the waveforms that it takes.
        channels: Of these.
        window_seconds: What it is given at once by default; ``track`` for all of a track.
        hop_seconds: Between the starts of windows; absent where one follows the other.
        layers: Rows that it has to choose from, the input of the first layer among them; absent where it has one.
        dim: Numbers of each row.
        frame_rate: Frames a second of its last layer.
        normalize: Whether each window is brought to zero mean and unit variance before it.
        input: What it computes of a waveform first, in words.
        parameters: How many it has.
        trained_on: Ids of collections of this benchmark that it was trained on.
        training: What it was trained on, in words.
        paper: Where it was published.
        bibtex: The entry to cite.
        scores: Where published scores of it stand.
        notes: What a user must know.
        unverified: Names of keys whose values were not checked against the publisher.
    """

    id: Annotated[str, Field(pattern=ID, max_length=200)]
    title: Filled
    aliases: tuple[Annotated[str, Field(pattern=ID)], ...] = ()
    family: Filled
    description: Filled
    opens: Filled | None = None
    elsewhere: Elsewhere | None = None
    hub: Annotated[str, Field(pattern=HUB_ID)] | None = None
    commit: Annotated[str, Field(pattern=COMMIT)] | None = None
    weights: WeightsFile | None = None
    licence: Licences = Licences()
    sample_rate: Annotated[int, Field(ge=1000, le=768_000)]
    channels: Literal[1, 2] = 1
    window_seconds: Seconds | Literal["track"] | None = None
    hop_seconds: Seconds | None = None
    layers: Annotated[int, Field(ge=1, le=10_000)] | None = None
    dim: Annotated[int, Field(ge=1, le=1_000_000)]
    frame_rate: Annotated[float, Field(gt=0, le=100_000)] | None = None
    normalize: bool | None = None
    input: str = ""
    parameters: Count | None = None
    trained_on: tuple[Annotated[str, Field(pattern=ID)], ...] = ()
    training: str = ""
    paper: str = ""
    bibtex: str = ""
    scores: str = ""
    notes: tuple[Filled, ...] = ()
    unverified: tuple[str, ...] = ()

    @cached_property
    def spec(self) -> EncoderSpec | None:
        """What opens it, taken apart."""
        return None if self.opens is None else parse(self.opens)

    @property
    def repository(self) -> str | None:
        """The id on the hub of a model that is there, however it is opened."""
        return self.spec.target if self.is_on_hub and self.spec is not None else self.hub

    @property
    def revision(self) -> str | None:
        """The full commit, where the card pins one."""
        return self.spec.revision if self.is_on_hub and self.spec is not None else self.commit

    @property
    def is_on_hub(self) -> bool:
        """Whether it is opened here from files of the hub, which are fetched once."""
        return self.spec is not None and self.spec.kind == "hf" and re.fullmatch(HUB_ID, self.spec.target) is not None

    @property
    def runs_code(self) -> bool:
        """Whether opening it runs code that comes with the model."""
        return self.is_on_hub and self.spec is not None and self.spec.option("remote_code", bool, default=False)

    @property
    def licences(self) -> str:
        """The terms in a few words, for a table."""
        weights, code = self.licence.weights, self.licence.code
        if weights is None or code is None or weights == code:
            return weights or (f"code {code}" if code else "not known")
        return f"{weights} (code {code})"

    @model_validator(mode="after")
    def _is_coherent(self) -> EncoderCard:
        if (self.opens is None) == (self.elsewhere is None):
            raise ValueError("a card has either opens, or [elsewhere] with the reason why nothing here opens it")
        if self.id in self.aliases or len(set(self.aliases)) < len(self.aliases):
            raise ValueError("aliases name it twice")
        if self.hop_seconds is not None and not isinstance(self.window_seconds, float):
            raise ValueError("hop_seconds needs window_seconds")
        for key in self.unverified:
            if key not in type(self).model_fields:
                raise ValueError(f"unverified names {key!r}, which is no key of a card")
        if self.opens is not None:
            self._check_opens()
        return self

    def _check_opens(self) -> None:
        assert self.opens is not None
        try:
            spec = parse(self.opens)
        except UserError as error:
            raise ValueError(str(error)) from None
        if spec.kind == "name" and spec.target in self.aliases:
            raise ValueError("opens names the card itself")
        if not self.is_on_hub:
            if self.hub is not None or self.commit is not None:
                raise ValueError("hub and commit are for cards with [elsewhere]: opens = 'hf:ID@COMMIT' says both")
            return
        if self.hub is not None or self.commit is not None:
            raise ValueError("opens says the hub id and the commit: leave hub and commit out")
        if spec.revision is not None and not re.fullmatch(COMMIT, spec.revision):
            raise ValueError(f"opens has the revision {spec.revision!r}, which can move: write the full commit")
        if spec.revision is None and self.runs_code:
            raise ValueError("opens runs code that comes with the model: pin it by the full commit, hf:ID@COMMIT")
        said = [key for key in SAID_ELSEWHERE if key in spec.options]
        if said:
            raise ValueError(f"opens has {', '.join(said)}, which the card says in a key of its own: leave that out")


def read_encoder_card(path: Path) -> EncoderCard:
    """Read and validate a card.

    Raises:
        UserError: The file cannot be read, is not TOML, or has a key or value that the schema refuses; each problem is
            named with its key.
    """
    try:
        data = parse_toml(read_text(path, SETTINGS), path)
    except OSError as error:
        raise UserError(f"cannot read the encoder card {path}: {error.strerror or error}", "let it be read") from None
    except TaskError as error:
        raise UserError(error.what, error.do, error.rows) from None
    try:
        return EncoderCard.model_validate_json(json.dumps(data, default=str), strict=True)
    except RecursionError:
        raise UserError(f"the encoder card {path} is not valid", "write it without tables within tables") from None
    except ValidationError as error:
        errors = error.errors()
        rows = list(dict.fromkeys(f"  {_explain(problem)}" for problem in errors[:SHOWN]))
        rows += [f"  … and {len(errors) - SHOWN} more"] if len(errors) > SHOWN else []
        raise UserError(
            f"the encoder card {path} is not valid", "mend these keys, which docs/encoders.md explains", rows
        ) from None


def _explain(problem: object) -> str:
    assert isinstance(problem, dict)
    location, message = problem["loc"], str(problem["msg"]).removeprefix("Value error, ")
    key = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        parts: dict[str, type[Part]] = {"licence": Licences, "weights": WeightsFile, "elsewhere": Elsewhere}
        part = parts[str(location[0])] if len(location) > 1 else EncoderCard
        of_card = len(location) > 1 and location[-1] in EncoderCard.model_fields
        otherwise = f"it belongs to the card itself, above [{location[0]}]" if of_card else ""
        hint = did_you_mean(str(location[-1]), part.model_fields, otherwise)
        message = f"unknown key; {hint}" if hint else "unknown key"
    elif problem["type"] == "missing":
        message = "is missing"
    elif location[:1] == ("window_seconds",):  # pydantic tells of every member of the union
        key, message = "window_seconds", "should be seconds, or 'track'"
    return f"{key}: {message}" if key else message
