"""docs/encoders.md: its plug-in keeps the contract, and what it names is there."""

import re
from pathlib import Path

from benchmark.encoders.cards.card import Elsewhere, EncoderCard, WeightsFile, read_encoder_card
from benchmark.encoders.check.check import check
from benchmark.encoders.published.weights import WEIGHTS
from benchmark.encoders.registry import BUILTIN, PUBLISHED, resolve_one
from benchmark.encoders.spec import SCHEMES
from benchmark.reports.encoder_cards import fetchable

PAGE = (Path(__file__).parents[1] / "docs" / "encoders.md").read_text(encoding="utf-8")


def test_the_plug_in_of_the_page_keeps_every_rule(tmp_path):
    file = tmp_path / "my models" / "bands.py"
    file.parent.mkdir()
    file.write_text(re.search(r"```python\n(# my models.*?)```", PAGE, re.DOTALL).group(1), encoding="utf-8")
    encoder = resolve_one(str(file), arguments={"bands": "64", "log": "false"})
    assert (encoder.name, encoder.dim) == ("tiny-bands?bands=64&log=false", 64)
    assert check(encoder, batch_size=1).failures == ()


def test_every_name_and_kind_is_on_the_page():
    assert [name for name in (*BUILTIN, *PUBLISHED, *WEIGHTS) if f"`{name}`" not in PAGE] == []
    assert [scheme for scheme in SCHEMES if f"`{scheme}:" not in PAGE] == []


def test_what_the_page_fetches_can_be_fetched(tmp_path):
    fetched = re.findall(r"bench encoders fetch ([a-z0-9-]+)", PAGE)
    assert fetched
    assert set(fetched) <= set(fetchable(tmp_path))


def test_the_card_of_the_page_is_valid_and_every_key_is_named(tmp_path):
    block = re.search(r"```toml\n(# my-hubert.*?)```", PAGE, re.DOTALL).group(1)
    (tmp_path / "my-hubert.toml").write_text(block, encoding="utf-8")
    card = read_encoder_card(tmp_path / "my-hubert.toml")
    assert (card.id, card.trained_on, card.licences) == ("my-hubert", ("mtt",), "CC BY 4.0")
    after = PAGE[PAGE.index("## Named encoders") : PAGE.index("## Your own: file")]
    parts = (EncoderCard, Elsewhere, WeightsFile)
    keys = [key for part in parts for key in part.model_fields if not re.search(rf"[`\[\n]{key}[`\]]|\n{key} =", after)]
    assert keys == []
