"""The report of a run: what was measured, as data, as Markdown and as one HTML page."""

from sphereslim.report.collect import collect
from sphereslim.report.write import write

__all__ = ['collect', 'write']
