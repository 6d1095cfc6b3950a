"""What a page shows as a file: CSV for spreadsheets, NDJSON for programs."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from starlette.responses import Response

Export = Literal["csv", "ndjson"]


def exported(rows: Sequence[Mapping[str, Any]], kind: Export, name: str) -> Response:
    """Return rows as a file, one for each line.

    Args:
        rows: All with the same fields.
        kind: In which form.
        name: What the file is called, without its ending.
    """
    if kind == "ndjson":
        body = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        media_type = "application/x-ndjson"
    else:
        body = _as_csv(rows).encode()
        media_type = "text/csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    return Response(body, headers=headers, media_type=media_type)


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    out = csv.writer(text)
    for n, row in enumerate(rows):
        if n == 0:
            out.writerow(row)
        out.writerow([_cell(value) for value in row.values()])
    return text.getvalue()


def _cell(value: object) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    is_formula = isinstance(value, str) and text.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{text}" if is_formula else text
