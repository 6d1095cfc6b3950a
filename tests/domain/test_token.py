import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.access import Permission, Role
from hms_async.domain.token import Token, check_token_id, digest_of, make_text, verify
from hms_async.errors import NameInvalid, TokenInvalid

ENTROPY = st.binary(min_size=44, max_size=44)


def made(entropy: bytes = b"x" * 44, *, expires_ms: int | None = None) -> tuple[Token, str]:
    token_id, text = make_text(entropy)
    token = Token(
        id=token_id, digest=digest_of(text), roles=(Role.WORKER,), expires_ms=expires_ms, rate=5
    )
    return token, text


@given(ENTROPY, ENTROPY)
def test_a_token_is_verified_by_its_own_text_only(one: bytes, other: bytes) -> None:
    (token, text), (_, strange) = made(one), made(other)
    table = {token.id: token}
    assert verify(table, text, 0) is token
    if one[12:] != other[12:]:
        with pytest.raises(TokenInvalid):
            verify(table, strange, 0)
        with pytest.raises(TokenInvalid):
            verify(table, text[:17] + strange[17:], 0)


def test_only_a_digest_of_the_secret_is_kept() -> None:
    token, text = made(bytes(range(44)))
    assert token.digest == hashlib.sha256(text[17:].encode()).hexdigest()
    assert len(text) == 4 + 12 + 1 + 43
    assert text[17:] not in repr(token)
    assert token.digest not in repr(token)


@pytest.mark.parametrize("known", [True, False])
def test_an_unknown_id_costs_the_work_of_a_wrong_secret(
    monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    token, text = made()
    seen: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def counted(one: str, other: str) -> bool:
        seen.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    with pytest.raises(TokenInvalid, match="never made, or it was revoked"):
        verify({token.id: token} if known else {}, text[:-1] + "A", 0)
    assert seen == [(64, 64)]


def test_a_token_ends_at_its_instant_and_says_so_to_its_bearer_only() -> None:
    token, text = made(expires_ms=1_000)
    assert verify({token.id: token}, text, 999) is token
    with pytest.raises(TokenInvalid, match="has expired"):
        verify({token.id: token}, text, 1_000)
    with pytest.raises(TokenInvalid, match="never made"):
        verify({token.id: token}, text[:-1] + "A", 1_000)


@pytest.mark.parametrize("wrong", ["", "hms_", "hms_abc_def", "x" * 60, "hms_" + "ä" * 56])
def test_what_is_no_token_is_refused_and_not_repeated(wrong: str) -> None:
    with pytest.raises(TokenInvalid, match="no token of ours") as caught:
        verify({}, wrong, 0)
    assert not wrong or wrong not in str(caught.value) or wrong == "hms_"


def test_an_id_may_be_given_as_the_whole_text_and_a_cut_one_is_not_shown() -> None:
    token, text = made()
    assert check_token_id(token.id) == check_token_id(text) == token.id
    with pytest.raises(NameInvalid) as caught:
        check_token_id(text[:-3])
    assert text[17:30] not in str(caught.value)


def test_a_bearer_may_do_what_all_roles_allow_and_payload_apart() -> None:
    token = Token(
        id="A" * 12, digest="", roles=(Role.PRODUCER, Role.WORKER), queues=("a.*",), payload=True
    )
    bearer = token.principal
    assert bearer.permissions == {
        *(Permission.ENQUEUE, Permission.WAIT, Permission.WORK, Permission.PAYLOAD)
    }
    assert (bearer.name, bearer.queues) == ("token:AAAAAAAAAAAA", ("a.*",))
