"""HTML pages that work offline and on a phone."""

from html import escape


def document(title, style, body):
    """A whole page: `title` is plain text, `style` its CSS, `body` HTML."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<title>{escape(title)}</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{style}</style></head><body>{body}</body></html>\n'
    )
