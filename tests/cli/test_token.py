"""`hms token`."""

import json

from tests.cli.conftest import Hms


def test_a_token_is_printed_alone_listed_and_revoked(hms: Hms, url: str) -> None:
    assert url
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


def test_what_makes_no_sense_is_said(hms: Hms, url: str) -> None:
    assert url
    assert hms("token", "create", "--role", "king").exit_code == 2
    refused = hms("token", "create", "--role", "viewer", "--queues", "no spaces")
    assert refused.exit_code == 2
    assert "queue pattern" in refused.stderr
