"""Parts of the report's page: HTML that needs nothing from elsewhere."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

_LARGE_PNG = 500_000  # bytes

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; color: #222 }
h2 { border-top: 1px solid #ccc; padding-top: 1.5rem; margin-top: 3rem }
img { max-width: 100%; margin: .5rem 0 }
pre { background: #f3f3f3; padding: .7rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere }
.table { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: .85rem }
td, th { border: 1px solid #ddd; padding: .15rem .6rem; text-align: right }
th { overflow-wrap: anywhere; min-width: 5rem }
td:first-child, th:first-child { text-align: left; min-width: 9rem }
.missing { background: #fff6dd; padding: .7rem 1rem }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """The whole page, of sections of HTML."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>{''.join(sections)}</html>\n"
    )


def picture(path: Path) -> str:
    """A PNG inside the page; one of many photos, as JPEG in a fraction of the bytes."""
    kind, content = "png", path.read_bytes()
    if len(content) > _LARGE_PNG:
        with Image.open(path) as image, io.BytesIO() as jpeg:
            image.convert("RGB").save(jpeg, "JPEG", quality=88)
            kind, content = "jpeg", jpeg.getvalue()
    encoded = base64.b64encode(content).decode()
    return f'<img alt="{html.escape(path.stem)}" src="data:image/{kind};base64,{encoded}">'


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of texts and numbers, which a narrow window scrolls."""

    def line(cells: Sequence[object], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(str(cell))}</{tag}>' for cell in cells)}</tr>"

    lines = f"{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}"
    return f'<div class="table"><table>{lines}</table></div>'
