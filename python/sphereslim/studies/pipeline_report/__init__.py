"""The report of a run: what was measured, as data, as Markdown and as one HTML page."""

from sphereslim.studies.pipeline_report.write import write, write_figure

__all__ = ['write', 'write_figure']
