"""The sections of a record: what each holds, and what its figures mean."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a record: immutable, and closed to keys that the schema does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
