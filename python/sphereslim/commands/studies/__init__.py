"""Reproduce a source, or study one network, from faces to a report."""
