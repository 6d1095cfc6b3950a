"""`hms token`."""

import json

import pytest

from tests.cli.conftest import Hms

pytestmark = pytest.mark.usefixtures("url")


def test_a_token_is_printed_alone_listed_and_revoked(hms: Hms) -> None:
    made = hms("token", "create", "--role", "worker", "--queues", "passport.*", "--expires", "90d")
    text = made.stdout.strip()
    assert text.startswith("hms_")
    assert "not shown again" in made.stderr

    listed = json.loads(hms("token", "ls", "-o", "json").stdout)["tokens"]
    assert [(one["roles"], one["queues"]) for one in listed] == [(["worker"], ["passport.*"])]
    assert text[17:] not in json.dumps(listed)

    revoked = hms("token", "revoke", listed[0]["id"])
    assert "it was the last one" in revoked.stderr
    again = hms("token", "revoke", listed[0]["id"])
    assert again.exit_code == 4


def test_its_text_is_shown_once_and_never_again(hms: Hms) -> None:
    made = hms("token", "create", "--role", "viewer", "--payload", "--note", "desk", "-o", "json")
    document = json.loads(made.stdout)
    assert (document["schema"], document["payload"]) == ("hms.token.create/v1", True)
    text, token_id = document["token"], document["id"]
    secret = text[17:]
    assert secret not in made.stderr

    listed = hms("token", "ls")
    assert listed.stdout.splitlines()[0].split()[:3] == ["TOKEN", "ROLES", "QUEUES"]
    assert listed.stdout.splitlines()[1].split()[:5] == [token_id, "viewer", "*", "yes", "500"]
    revoked = hms("token", "revoke", text, "--reason", "it was in a log")
    again = hms("token", "revoke", text)
    mistyped = hms("token", "revoke", text + "x")
    audit = hms("audit", "-o", "json")
    assert (revoked.exit_code, again.exit_code, mistyped.exit_code) == (0, 4, 2)
    assert "it was in a log" in audit.stdout
    for shown in (listed, revoked, again, mistyped, audit):
        assert secret not in shown.stdout + shown.stderr
    assert hms("token", "ls").stderr.startswith("no tokens")


def test_what_makes_no_sense_is_said(hms: Hms) -> None:
    assert hms("token", "create", "--role", "king").exit_code == 2
    refused = hms("token", "create", "--role", "viewer", "--queues", "no spaces")
    assert refused.exit_code == 2
    assert "queue pattern" in refused.stderr
