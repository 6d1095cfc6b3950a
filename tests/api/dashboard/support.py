"""A browser without a screen: it opens a page, fills in the form that is on it, and sends that."""

import re
from html import unescape
from typing import NamedTuple

import httpx

from hms_async import AsyncOMSClient
from tests.api.support import token

_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
_ACTION = re.compile(r'<form class="card ask" method="post" action="([^"]+)">')


class Asked(NamedTuple):
    """A page that asks, and the form on it."""

    page: httpx.Response
    action: str
    fields: list[tuple[str, str]]


async def token_text(oms: AsyncOMSClient, *roles: str, **options: object) -> str:
    """Make a token; returns its text."""
    header = await token(oms, *roles, **options)
    return header["Authorization"].removeprefix("Bearer ")


async def sign_in(http: httpx.AsyncClient, text: str) -> None:
    """Sign in with a token."""
    answer = await http.post("/ui/sign-in", data={"token": text})
    assert answer.status_code == 303, answer.text


async def enter(
    http: httpx.AsyncClient, oms: AsyncOMSClient, *roles: str, **options: object
) -> None:
    """Sign in with a new token of some roles."""
    await sign_in(http, await token_text(oms, *roles, **options))


async def open_form(http: httpx.AsyncClient, path: str) -> Asked:
    """Open a page that asks whether something is to be done."""
    page = await http.get(f"/ui{path}")
    assert page.status_code == 200, page.text
    action = _ACTION.search(page.text)
    assert action is not None, page.text
    form = page.text[action.start() :]
    fields = [(name, unescape(value)) for name, value in _HIDDEN.findall(form)]
    return Asked(page, unescape(action[1]), fields)


async def send(http: httpx.AsyncClient, asked: Asked, **answers: str) -> httpx.Response:
    """Send a form that was opened."""
    fields: dict[str, list[str]] = {}
    for name, value in (*asked.fields, *answers.items()):
        fields.setdefault(name, []).append(value)
    return await http.post(asked.action, data=fields)


async def do(http: httpx.AsyncClient, path: str, **answers: str) -> str:
    """Open a page that asks, say yes, and return where one comes to."""
    answer = await send(http, await open_form(http, path), **answers)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]
