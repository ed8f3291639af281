"""What the page holds inside itself: its script and styles, Vega, and data that no browser takes for anything else."""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.system.extras import install_command
from results.files import read_regular, replace_file

TEMPLATES = "template"


def needs_extra() -> UserError:
    """Return the refusal where a package of the page is not installed."""
    return UserError("bench report needs the extra 'report'", f"install it:\n  {install_command('report')}")


def own_file(name: str) -> str:
    """Return a file of the page's templates."""
    return (files(__package__) / TEMPLATES / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def as_json(content: Any) -> str:
    r"""Return JSON that ends no script and begins no comment: all but ASCII, and ``<``, ``>``, ``&``, are escaped.

    >>> as_json("</script><!--\u2028")
    '"\\u003c/script\\u003e\\u003c!--\\u2028"'
    """
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def digest(script: str) -> str:
    """Return a script's hash as a Content-Security-Policy names it, so that no other script runs."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def vega(home: Path) -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one classic script, made once and kept in the data home.

    Args:
        home: The data home.

    Raises:
        UserError: The extra is not installed.
    """
    try:
        import vl_convert
    except ImportError:
        raise needs_extra() from None
    versions = (
        vl_convert.get_vega_version(),
        vl_convert.get_vegalite_versions()[-1],
        vl_convert.get_vega_embed_version(),
    )
    kept = home / "report" / f"vega-{'-'.join(versions)}.js"
    with suppress(OSError, ValueError):
        said, _, script = read_regular(kept).decode("utf-8").partition("\n")
        if script and said == f"// {digest(script)}":
            return script
    bundle = vl_convert.javascript_bundle(None)  # type: ignore[arg-type]  # its stub knows no default snippet
    script = bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    with suppress(OSError):  # a home that cannot be written: it is made again next time
        replace_file(kept, f"// {digest(script)}\n{script}".encode())
    return script


def vega_versions() -> str:
    """Return the versions of what :func:`vega` returns, in words."""
    from importlib.metadata import version

    import vl_convert

    lite = vl_convert.get_vegalite_versions()[-1]
    return (
        f"Vega {vl_convert.get_vega_version()}, Vega-Lite {lite}, Vega-Embed {vl_convert.get_vega_embed_version()} "
        f"(vl-convert {version('vl-convert-python')})"
    )
