import base64
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hms_async
from hms_async.domain.signature import TOLERANCE_S, check_secret, sign, verify
from hms_async.errors import ConfigInvalid, InstantInvalid, SignatureInvalid

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # of the published vector
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SENT_S = 1_614_265_330
BODY = b'{"test": 2432232314}'
PUBLISHED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

keys = st.text(st.characters(codec="utf-8"), min_size=1).filter(
    lambda key: not key.startswith("whsec_")
) | st.binary(min_size=1, max_size=64).map(lambda key: "whsec_" + base64.b64encode(key).decode())
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)


def signed(**other: str) -> dict[str, str]:
    return sign(SECRET, ID, SENT_S, BODY) | {f"webhook-{name}": at for name, at in other.items()}


def refused(headers: dict[str, str], body: bytes = BODY, now_s: float = SENT_S) -> str:
    with pytest.raises(SignatureInvalid) as caught:
        verify(SECRET, headers, body, now_s=now_s)
    return str(caught.value)


def test_the_signature_is_the_published_one() -> None:
    assert sign(SECRET, ID, SENT_S, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": str(SENT_S),
        "webhook-signature": PUBLISHED,
    }


@given(st.lists(keys, min_size=1, max_size=3), ids, st.integers(0, 2**36), st.binary())
def test_what_is_signed_is_believed(
    secrets: list[str], message_id: str, sent_s: int, body: bytes
) -> None:
    headers = sign(secrets, message_id, sent_s, body)

    for secret in (secrets, *secrets):
        assert verify(secret, headers, body, now_s=sent_s) == message_id


@given(st.data())
def test_one_changed_byte_is_noticed(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(BODY) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != BODY[place]))
    changed = BODY[:place] + bytes([byte]) + BODY[place + 1 :]

    assert "does not match" in refused(signed(), changed)


def test_a_body_that_was_cut_or_goes_on_is_noticed() -> None:
    assert "does not match" in refused(signed(), BODY[:-1])
    assert "does not match" in refused(signed(), BODY + b"\n")


def test_a_changed_id_or_time_is_noticed() -> None:
    assert "does not match" in refused(signed(id=ID + "x"))
    assert "does not match" in refused(signed(timestamp=str(SENT_S + 1)))


def test_another_secret_does_not_match_and_no_secret_is_shown() -> None:
    with pytest.raises(SignatureInvalid, match="another secret") as caught:
        verify("some other text", signed(), BODY, now_s=SENT_S)

    assert "some other text" not in str(caught.value)


@pytest.mark.parametrize("away_s", [-TOLERANCE_S, 0, TOLERANCE_S])
def test_five_minutes_either_way_are_allowed(away_s: int) -> None:
    assert verify(SECRET, signed(), BODY, now_s=SENT_S + away_s) == ID


def test_a_message_that_is_too_old_or_of_the_future_is_not_believed() -> None:
    assert "webhook-timestamp is 5m 1s old, which is more than 5m" in refused(
        signed(), now_s=SENT_S + TOLERANCE_S + 1
    )
    assert "webhook-timestamp is 5m 1s ahead" in refused(signed(), now_s=SENT_S - TOLERANCE_S - 1)


@pytest.mark.parametrize("text", ["soon", "1614265330.5", "-1", "0x10", "١٦١٤٢٦٥٣٣٠", "9" * 5_000])
def test_a_time_that_is_none_is_not_believed(text: str) -> None:
    assert refused(signed(timestamp=text)) == "webhook-timestamp is not a whole number of seconds"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_or_empty_header_is_named(name: str) -> None:
    headers = signed()
    assert refused({**headers, name: " "}) == f"the header {name} is missing"
    del headers[name]
    assert refused(headers) == f"the header {name} is missing"


def test_names_of_headers_are_of_any_case_and_of_any_kind_of_mapping() -> None:
    message = Message()
    for name, value in signed().items():
        message[name.title()] = value

    assert verify(SECRET, message, BODY, now_s=SENT_S) == ID


def test_while_a_secret_is_replaced_both_sign_and_either_is_believed() -> None:
    rotated = sign(["new", "old"], ID, SENT_S, BODY)

    assert len(rotated["webhook-signature"].split(" ")) == 2
    for secret in ("new", "old", ["new", "old"], ["unknown", "old"]):
        assert verify(secret, rotated, BODY, now_s=SENT_S) == ID
    # The receiver may be the one that knows both.
    assert verify(["new", "old"], sign("old", ID, SENT_S, BODY), BODY, now_s=SENT_S) == ID


def test_signatures_of_other_kinds_are_passed_over() -> None:
    assert verify(
        SECRET, signed(signature=f"v1a,AAAA v1,é nonsense {PUBLISHED}"), BODY, now_s=SENT_S
    )
    assert refused(signed(signature="v1a,AAAA v2,AAAA")) == (
        "webhook-signature has no signature of version v1"
    )


def test_a_plain_secret_is_taken_as_its_bytes() -> None:
    encoded = "whsec_" + base64.b64encode(b"geheim").decode()

    assert sign("geheim", ID, SENT_S, BODY) == sign(encoded, ID, SENT_S, BODY)


@pytest.mark.parametrize("secret", ["", "whsec_", None, b"bytes", 5])
def test_what_is_no_secret_is_refused(secret: Any) -> None:
    with pytest.raises(ConfigInvalid, match="a webhook secret is a text that is not empty"):
        check_secret(secret)


@pytest.mark.parametrize("secret", ["whsec_geheim!", "whsec_abc", "whsec_ü"])
def test_a_secret_that_is_not_base64_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ConfigInvalid, match="goes on in base64") as caught:
        sign(secret, ID, SENT_S, BODY)

    assert secret not in str(caught.value)


def test_no_secret_at_all_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="no webhook secret"):
        verify([], signed(), BODY, now_s=SENT_S)


@pytest.mark.parametrize("message_id", ["", "a b", "a\r\nx-evil: 1", "é", "x" * 257])
def test_an_id_that_cannot_stand_in_a_header_is_refused(message_id: str) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be a message id"):
        sign(SECRET, message_id, SENT_S, BODY)


def test_a_receiver_verifies_with_one_call() -> None:
    sent_at = datetime.fromtimestamp(SENT_S, UTC)

    assert hms_async.verify_webhook(SECRET, signed(), BODY, now=sent_at) == ID
    with pytest.raises(SignatureInvalid, match="10m old"):
        hms_async.verify_webhook(SECRET, signed(), BODY, now=sent_at + timedelta(minutes=10))
    with pytest.raises(SignatureInvalid, match=r"\d+d \d+h old"):
        hms_async.verify_webhook(SECRET, signed(), BODY)
    with pytest.raises(InstantInvalid, match="no time zone"):
        hms_async.verify_webhook(SECRET, signed(), BODY, now=sent_at.replace(tzinfo=None))
