"""HTML of a report: one page that works offline, on a phone and in print."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from sphereslim.report.cells import SOURCES, Figure, ReportCell, ReportTable

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:72rem;padding:1rem;color:#222;background:#fff}
h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.2rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:0}dd{margin:0;overflow-wrap:anywhere}
dt{color:#555}.long{display:block}.long dd{margin-bottom:.6rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .4rem;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
th{vertical-align:bottom}td:first-child,th:first-child{text-align:left;position:sticky;left:0;background:#fff}
.published{color:#666;font-style:italic}sup{color:#888;font-style:normal;padding-left:.15em}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,24rem),1fr));gap:1.2rem}
figure{margin:0}img{width:100%;height:auto;display:block}figcaption{font-size:.85rem;color:#444}
code{font-size:.8rem;overflow-wrap:anywhere;background:#f4f4f4;padding:.1em .3em}
@media print{body{font-size:10pt;max-width:none;padding:0}table{font-size:7.5pt}td,th{padding:.15rem .3rem}
.wide{overflow:visible}.figures{grid-template-columns:1fr 1fr}h2{break-after:avoid}figure,table{break-inside:avoid}}
"""


def document(title: str, style: str, body: str) -> str:
    """A whole page: `title` is plain text, `style` its CSS, `body` HTML."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<title>{escape(title)}</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{style}</style></head><body>{body}</body></html>\n'
    )


def definitions(entries: Iterable[tuple[str, str]], kind: str = 'facts') -> str:
    """[(name, HTML)] as a list of definitions; the kind `long` puts names above what they stand for."""
    return f'<dl class="{kind}">{"".join(f"<dt>{escape(name)}</dt><dd>{text}</dd>" for name, text in entries)}</dl>'


def table_html(table: ReportTable) -> str:
    """A ReportTable as HTML, every number marked with its source."""
    head = ''.join(f'<th>{escape(column)}</th>' for column in table.columns)
    body = ''.join(f'<tr>{"".join(map(_cell, row))}</tr>' for row in table.rows)
    return (
        f'<h2>{escape(table.title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{body}</tbody></table></div><p>{escape(table.note)}</p>'
    )


def _cell(cell: ReportCell) -> str:
    if not cell.source:
        return f'<td>{escape(cell.text)}</td>'
    return f'<td class="{cell.source}" title="{cell.source}">{escape(cell.text)}<sup>{cell.source[0]}</sup></td>'


def legend(names: Sequence[str] = tuple(SOURCES)) -> str:
    """What the marks of the sources `names` mean."""
    return '; '.join(f'<sup>{name[0]}</sup> {name}: {escape(SOURCES[name])}' for name in names) + '.'


def figure_html(figure: Figure, content: bytes, below: str = '') -> str:
    """A Figure drawn as PNG bytes, within the page, with HTML `below` its words."""
    data = base64.b64encode(content).decode()
    return (
        f'<figure><h3>{escape(figure.title)}</h3><img alt="{escape(figure.text)}" '
        f'src="data:image/png;base64,{data}"><figcaption>{escape(figure.text)} {below}</figcaption></figure>'
    )
