# mypy: ignore-errors
"""Views that only read."""


def only_reads(view):
    """Mark a view that changes no row, so that its queries need no transaction."""
    view.only_reads = True
    return view
