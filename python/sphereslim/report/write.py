"""A report as report.json, report.md with its pictures, and report.html, one file that works offline."""

import base64
from html import escape

from sphereslim.files import write_bytes, write_json
from sphereslim.report.figures import draw
from sphereslim.tables import markdown_table, scaled

COLUMNS = ('stage', 'filters', 'parameters', 'MACs', 'model', 'ms an image', 'speed', 'accuracy pruned',
           'accuracy trained')
LAMBDA_NOTE = (
    'The loss of a fine-tuning rises at first although the net gets no worse: lambda, which blends the plain inner '
    'product into the margin, belongs to the run and not to the weights. It restarts at its base in every stage, where '
    'the task is easy, and falls as iterations go by, so the margin, and with it the loss, grows until the net '
    'has adapted. The published fine-tuning curves show the same.')
SOURCES_NOTE = ('Parameters, MACs and model bytes follow from the prototxt, without the classifier. Milliseconds are '
                'medians on this machine, all stages measured in turns in one process; speed is the first stage\'s '
                'time over the stage\'s own. Accuracy is the mean over the folds and its standard error.')
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:64rem;padding:1rem;color:#222;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2rem}
img{width:100%;max-width:52rem;height:auto;display:block}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
td:first-child,th:first-child{text-align:left}code{overflow-wrap:anywhere}
@media print{h2,img,table{break-inside:avoid}}
"""


def write(report, folder, command):
    """Write the report into `folder`; `command` is the line that makes it again. Returns the path of the page."""
    figures = draw(report)
    for name, (content, _) in figures.items():
        write_bytes(folder / name, content)
    write_json(folder / 'report.json', report | {'command': command})
    write_bytes(folder / 'report.md', markdown(report, figures, command).encode())
    page = folder / 'report.html'
    write_bytes(page, html(report, figures, command).encode())
    return page


def table_rows(report):
    """The cells of the table, a row for each stage."""
    return [[row['stage'], row['filters'], f'{row["parameters"]:,}', scaled(row['macs']),
             f'{row["model_bytes"] / 1e6:.1f} MB', f'{row["milliseconds"]:.2f}', f'{row["speed_ratio"]:.2f}x',
             _percent(row['before']), _percent(row['after'])] for row in report['rows']]


def _percent(result):
    return f'{result["accuracy"]:.2f} ± {result["error"]:.2f} %' if result else ''


def facts(report):
    """What was run on what: [(name, text)]."""
    settings, faces, machine = report['settings'], report['faces'], report['machine']
    trainings = ', '.join(f'{name.replace("_", " ")} {settings[name]["iterations"]} iterations of '
                          f'{settings[name]["batch"]} at {settings[name]["base_lr"]:g}'
                          for name in ('base', 'fine_tune', 'last_round'))
    return [('network', settings['net']), ('pruned', f'{", ".join(settings["layers"])} to {settings["rate"]:g} '
                                                     f'by {settings["criterion"]}'),
            ('training', trainings), ('faces', f'{faces["pictures"]} pictures of {faces["people"]} people; '
                                               f'verified on {faces["pairs"]}'),
            ('machine', f'{machine["cores"]} cores, {machine["system"]}, caffe {machine["caffe"]}')]


def markdown(report, figures, command):
    """The report as Markdown."""
    lines = [f'# {report["title"]}', '', *[f'- {name}: {text}' for name, text in facts(report)], '',
             markdown_table(COLUMNS, table_rows(report)), '', SOURCES_NOTE, '']
    for name, (_, text) in figures.items():
        lines += [f'## {text}', '', f'![{text}]({name})', '']
        if name == 'loss.png':
            lines += [LAMBDA_NOTE, '']
    return '\n'.join([*lines, f'Made by `{command}`', ''])


def html(report, figures, command):
    """The report as one HTML page."""
    parts = [f'<h1>{escape(report["title"])}</h1><ul>',
             *[f'<li>{escape(name)}: {escape(text)}</li>' for name, text in facts(report)], '</ul>',
             html_table(COLUMNS, table_rows(report)), f'<p>{escape(SOURCES_NOTE)}</p>']
    for name, (content, text) in figures.items():
        data = base64.b64encode(content).decode()
        parts.append(f'<h2>{escape(text)}</h2><img alt="{escape(text)}" src="data:image/png;base64,{data}">')
        if name == 'loss.png':
            parts.append(f'<p>{escape(LAMBDA_NOTE)}</p>')
    parts.append(f'<p>Made by <code>{escape(command)}</code></p>')
    return ('<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
            f'<title>{escape(report["title"])}</title><meta name="viewport" content="width=device-width, '
            f'initial-scale=1"><style>{STYLE}</style></head><body>{"".join(parts)}</body></html>\n')


def html_table(columns, rows):
    """An HTML table of texts."""
    head = ''.join(f'<th>{escape(str(cell))}</th>' for cell in columns)
    body = ''.join('<tr>' + ''.join(f'<td>{escape(str(cell))}</td>' for cell in row) + '</tr>' for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
