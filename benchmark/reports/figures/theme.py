"""How pictures look, light and dark: a configuration of Vega-Lite, beside specifications that hold no colour.

The palette is that of Okabe and Ito (2008, *Color Universal Design*), told apart with red-green blindness, its yellow
replaced, which is not seen on white; shapes and dashes go with the colours, so that pictures read in grey.
"""

from __future__ import annotations

from typing import Any

FONT = "Arial, Helvetica, 'Liberation Sans', sans-serif"
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 2, 1, 2]]

#: By theme: what is written, what is written smaller, lines of the grid, the ground, and what stands back.
INKS = {
    "light": {"ink": "#1a1a1a", "soft": "#4d4d4d", "grid": "#dddddd", "ground": "#ffffff", "back": "#767676"},
    "dark": {"ink": "#eeeeee", "soft": "#c4c4c4", "grid": "#444444", "ground": "#16181d", "back": "#9a9a9a"},
}
PALETTES = {
    "light": ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f6000"],
    "dark": ["#56b4e9", "#e69f00", "#2fc49a", "#e79bc4", "#ff7f3f", "#8fa8ff", "#ffffff", "#f0e442"],
}
#: From none to all; the text that stands on them is the ink.
RAMPS = {"light": ["#e6eff8", "#c3daee", "#8fc1de", "#4a98c9"], "dark": ["#26303c", "#27405a", "#2a5b86", "#2f74ab"]}
#: From below zero over nothing to above it.
DIVERGING = {
    "light": ["#e08b4f", "#f2c7a5", "#f7f7f7", "#b3d3e8", "#5aa2d0"],
    "dark": ["#a85a1e", "#6b4427", "#2a2d33", "#284d6b", "#2f74ab"],
}


def config(*, dark: bool = False, ground: bool = False) -> dict[str, Any]:
    """Return the configuration that goes into ``config`` of a specification, or to vega-embed.

    Args:
        dark: For a dark page.
        ground: Fill the ground, for a file; a page has its own.
    """
    name = "dark" if dark else "light"
    inks = INKS[name]
    return {
        "background": inks["ground"] if ground else None,
        "font": FONT,
        "view": {"stroke": None, "continuousHeight": 220, "discreteWidth": {"step": 20}},
        "axis": {
            "labelColor": inks["ink"],
            "titleColor": inks["soft"],
            "titleFontWeight": "normal",
            "labelFontSize": 11,
            "titleFontSize": 11,
            "gridColor": inks["grid"],
            "domainColor": inks["back"],
            "tickColor": inks["back"],
        },
        "axisBand": {"grid": False, "domain": False},
        "header": {"labelColor": inks["ink"], "titleColor": inks["soft"], "labelFontSize": 11},
        "legend": {
            "labelColor": inks["ink"],
            "titleColor": inks["soft"],
            "titleFontWeight": "normal",
            "labelFontSize": 11,
            "titleFontSize": 11,
            "symbolSize": 60,
        },
        "title": {"color": inks["ink"], "subtitleColor": inks["soft"], "fontSize": 12, "anchor": "start"},
        "text": {"color": inks["ink"], "fontSize": 10},
        "point": {"filled": True, "size": 60, "opacity": 1},
        "line": {"strokeWidth": 1.5},
        "rule": {"color": inks["back"]},
        "rect": {"stroke": inks["ground"], "strokeWidth": 0.5},
        "bar": {"color": PALETTES[name][0]},
        "range": {
            "category": PALETTES[name],
            "symbol": SHAPES,
            "heatmap": RAMPS[name],
            "ramp": RAMPS[name],
            "diverging": DIVERGING[name],
        },
        "style": {
            "measured": {"color": PALETTES[name][0], "fill": PALETTES[name][0], "stroke": PALETTES[name][0]},
            "interval": {"color": PALETTES[name][0], "stroke": PALETTES[name][0], "strokeWidth": 1.5},
            "published": {"color": PALETTES[name][1]},
            "back": {"color": inks["back"], "stroke": inks["back"]},
            "ink": {"color": inks["ink"], "stroke": inks["ink"]},
        },
    }
