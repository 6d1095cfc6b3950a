"""The reference of the API as one page that needs nothing but itself."""

from collections.abc import Iterator
from html import escape
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

_STYLE = """
:root { color-scheme: light dark; --line: #e4e2dd; --accent: #1f5f99; --muted: #5c636e; }
@media (prefers-color-scheme: dark) {
  :root { --line: #32363d; --accent: #7fb5e6; --muted: #a0a7b2; }
}
body { font: 14px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); text-transform: capitalize; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .5rem; border: 1px solid var(--line); }
summary { cursor: pointer; padding: .3rem 0; }
summary b { color: var(--accent); display: inline-block; min-width: 4rem; }
table { border-collapse: collapse; }
td { text-align: left; padding: .15rem 1rem .15rem 0; vertical-align: top; }
.muted { color: var(--muted); }
"""


def style_hash() -> str:
    """Return the hash by which a content security policy lets the page's own style in."""
    import base64  # noqa: PLC0415  # for one page
    import hashlib  # noqa: PLC0415

    return base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


async def reference(request: Request) -> Response:
    """Return every route with what it takes and gives, from the OpenAPI document."""
    page = "".join(_page(request.app.openapi(), request.scope.get("root_path", "")))
    policy = (
        f"default-src 'none'; style-src 'sha256-{style_hash()}'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": policy})


def _page(found: dict[str, Any], root: str) -> Iterator[str]:
    title = escape(found["info"]["title"])
    yield f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}: REST API</title>"
    yield '<meta name=viewport content="width=device-width">'
    yield f"<style>{_STYLE}</style><h1>{title} {escape(found['info']['version'])}</h1>"
    for part in found["info"]["description"].split("\n\n"):
        yield f"<p>{escape(part)}</p>"
    yield f'<p>For programs: <a href="{escape(root)}/oms/openapi.json">openapi.json</a></p>'
    by_tag: dict[str, list[str]] = {}
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            by_tag.setdefault(operation["tags"][0], []).append(
                "".join(_operation(method.upper(), path, operation))
            )
    for tag, parts in by_tag.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(parts)}"
    yield "<h2>documents</h2>"
    for name, schema in sorted(found["components"]["schemas"].items()):
        yield f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> '
        yield f"<span class=muted>{escape(schema.get('description', ''))}</span></summary>"
        yield from _fields(schema)
        yield "</details>"


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<details><summary><b>{method}</b> <code>{escape(path)}</code> "
    yield f"<span class=muted>{escape(operation.get('summary', ''))}</span></summary>"
    yield f"<p>{escape(operation.get('description', ''))}</p>"
    if parameters := operation.get("parameters"):
        yield "<table>"
        for one in parameters:
            needed = " (needed)" if one.get("required") else ""
            yield f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}{needed}"
            yield f"<td>{escape(one.get('description', ''))}"
        yield "</table>"
    if body := operation.get("requestBody"):
        yield f"<p>Takes {_shape(body)}</p>"
    yield "<table>"
    for status, response in operation["responses"].items():
        yield f"<tr><td>{escape(str(status))}<td>{_shape(response)}"
    yield "</table></details>"


def _shape(described: dict[str, Any]) -> str:
    kinds: list[str] = []
    for media_type, content in described.get("content", {}).items():
        schema = cast("dict[str, Any]", content["schema"])
        refs = [one["$ref"] for one in [schema, *schema.get("oneOf", [])] if "$ref" in one]
        names = [ref.rpartition("/")[2] for ref in refs]
        links = [f'<a href="#{escape(name)}">{escape(name)}</a>' for name in names]
        kinds.append(" or ".join(links) or escape(media_type))
    return ", ".join(kinds)


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    yield "<table>"
    for name, field in schema.get("properties", {}).items():
        needed = "needed" if name in schema.get("required", []) else ""
        yield f"<tr><td><code>{escape(name)}</code><td>{escape(_kind(field))}<td>{needed}"
    yield "</table>"


def _kind(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"])
    if "enum" in field:
        return " | ".join(str(one) for one in field["enum"])
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    return str(field.get("format") or field.get("type") or "any JSON value")
