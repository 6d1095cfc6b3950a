import json
import time
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async import config
from hms_async.domain.event import Event
from hms_async.domain.handoff import Handoff
from hms_async.domain.redaction import DEEPEST, NAMES, Redactor
from hms_async.domain.scrub import REDACTED
from hms_async.domain.task import Attempt, TaskRecord, TaskState
from hms_async.domain.token import make_text
from hms_async.errors import ConfigInvalid, PayloadInvalid

PLAIN = Redactor()
CANARY = "c4n4ry-Qx7"
SECRET_KEYS = [
    *("password", "Password", "userPassword", "db_passwd", "PASSWORDS", "password2", "passphrase"),
    *("secret", "client-secret", "clientSecret", "SECRETS", "token", "accessToken", "API_TOKEN"),
    *("api_key", "apiKey", "APIKey", "X-Api-Key", "apikey", "ApiKeys", "api key", "authorization"),
    *("Proxy-Authorization", "cookie", "Set-Cookie", "cookies", "ssn", "userSSN", "SSNs", "iban"),
    *("IBAN", "card_number", "cardNumber", "creditCardNumber", "cvv", "private_key", "privateKey"),
]
PLAIN_KEYS = [
    *("tokenizer_count", "monkey", "passwordless", "secretary", "keyboard", "number", "card"),
    *("key", "private", "author", "authorized", "cookiecutter", "ibanez", "", "_", "1", "assn"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(SECRET_KEYS), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_a_secrets_name_is_known_in_every_spelling(key: str) -> None:
    assert PLAIN.redact({key: CANARY, "a": 1}) == {key: REDACTED, "a": 1}


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_a_name_that_only_holds_the_letters_is_no_secret(key: str) -> None:
    assert PLAIN.redact({key: "x"}) == {key: "x"}


def parts(value: Any) -> list[tuple[Any, Any]]:
    """Return what is directly inside, each with its key or its place."""
    kind, inside = kind_of(value), value
    if kind is dict:
        inside = value.values()
    items: list[Any] = list(inside) if kind in (dict, list) else []
    return list(zip(value if kind is dict else range(len(items)), items, strict=True))


def kind_of(value: object) -> object:
    return type(value)


@given(JSON)
def test_redacting_copies_and_leaves_nothing_under_a_secrets_name(value: Any) -> None:
    before = json.dumps(value)
    redacted = PLAIN.redact(value)
    assert json.dumps(value) == before
    assert PLAIN.redact(redacted) == redacted

    def check(original: Any, copy: Any) -> None:
        for key, item in parts(original):
            assert copy is not original
            if isinstance(key, str) and PLAIN.is_secret(key):
                assert copy[key] == REDACTED
            else:
                check(item, copy[key])
        if parts(original):
            assert [key for key, _ in parts(copy)] == [key for key, _ in parts(original)]
        else:
            assert copy == original

    check(value, redacted)


@given(st.sampled_from(NAMES), st.sampled_from(["", "my_", "old_"]), st.sampled_from(["", "_2"]))
def test_a_name_counts_in_snake_camel_and_kebab_case(name: str, front: str, back: str) -> None:
    snake = f"{front}{name}{back}"
    first, *rest = snake.split("_")
    camel = first + "".join(word.capitalize() for word in rest)
    assert all(map(PLAIN.is_secret, (snake, camel, snake.replace("_", "-"), snake.upper())))


def test_what_lies_too_deep_is_left_out() -> None:
    value: Any = CANARY
    for _ in range(5_000):
        value = [value]
    text = json.dumps(PLAIN.redact(value))
    assert CANARY not in text
    assert text == "[" * DEEPEST + f'"{REDACTED}"' + "]" * DEEPEST


def test_a_value_of_a_secrets_name_is_left_out_whatever_it_is() -> None:
    value = {"cookies": {"sid": CANARY}, "tokens": [CANARY], "list": [{"password": 4711}]}
    assert PLAIN.redact(value) == {
        "cookies": REDACTED,
        "tokens": REDACTED,
        "list": [{"password": REDACTED}],
    }


def test_further_names_come_from_the_environment() -> None:
    redactor = config.redactor({"HMS_REDACT": "tax_id, PassportNo,"})
    assert redactor.redact({"taxId": 1, "old_passport_no": 2, "passport": 3, "token": 4}) == {
        "taxId": REDACTED,
        "old_passport_no": REDACTED,
        "passport": 3,
        "token": REDACTED,
    }
    assert not config.redactor({}).is_secret("tax_id")
    with pytest.raises(ConfigInvalid, match="one of them is no name"):
        config.redactor({"HMS_REDACT": "tax_id,*"})


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (f"no login: password={CANARY} user=sam", f"no login: password={REDACTED} user=sam"),
        (f"POST /x?api_key={CANARY}&page=2", f"POST /x?api_key={REDACTED}&page=2"),
        (f"?access_token={CANARY}", f"?access_token={REDACTED}"),
        (f'{{"token": "{CANARY} and more", "a": 1}}', f'{{"token": {REDACTED}, "a": 1}}'),
        (f"{{'secret': '{CANARY}', 'a': 1}}", f"{{'secret': {REDACTED}, 'a': 1}}"),
        (f'"{{\\"secret\\": \\"{CANARY}\\"}}"', f'"{{\\"secret\\": {REDACTED}}}"'),
        (f'{{"password":"a\\"{CANARY}"}}', f'{{"password":{REDACTED}}}'),
        (f'{{"cvv":{CANARY},"a":1}}', f'{{"cvv":{REDACTED},"a":1}}'),
        (f'{{"tokens": ["x]", {{"a": "{CANARY}"}}], "b": 1}}', f'{{"tokens": {REDACTED}, "b": 1}}'),
        (f'"cookies": {{"sid": "{CANARY}"', f'"cookies": {REDACTED}'),
        (f"Authorization: Digest u=a, r={CANARY}\nHost: b", f"Authorization: {REDACTED}\nHost: b"),
        (f"Cookie: a=1; sid={CANARY}", f"Cookie: {REDACTED}"),
        (f"sent Bearer {CANARY}.abc to it", f"sent Bearer {REDACTED} to it"),
        ("Basic c2FtOmM0bjRyeQ== was sent", f"Basic {REDACTED} was sent"),
        ("redis://:c4n4ry-Qx7@db:6379/0", f"redis://:{REDACTED}@db:6379/0"),
        ("postgres://sam:c4n@4ry-Qx7@db/x", f"postgres://sam:{REDACTED}@db/x"),
        (f"run --password {CANARY} --fast", f"run --password {REDACTED} --fast"),
        (f"config['api_key'] = '{CANARY}'", f"config['api_key'] = {REDACTED}"),
        (f"os.environ.DB_PASSWORD={CANARY}", f"os.environ.DB_PASSWORD={REDACTED}"),
        (f"    self.token = '{CANARY}'\n    go()", f"    self.token = {REDACTED}\n    go()"),
        (f"api key: {CANARY}, a", f"api key: {REDACTED} a"),
        (f"card number = {CANARY}", f"card number = {REDACTED}"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c4n4ry", f"jwt {REDACTED}"),
        (
            f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
            f"-----BEGIN RSA PRIVATE KEY-----{REDACTED}-----END RSA PRIVATE KEY-----",
        ),
    ],
)  # fmt: skip
def test_secrets_in_texts_are_left_out(text: str, seen: str) -> None:
    assert PLAIN.redact_text(text) == seen
    assert "c4n4ry" not in seen


def json_in_json(value: object) -> str:
    return json.dumps(json.dumps(value))


def test_our_own_tokens_keep_their_id_only() -> None:
    token_id, text = make_text(bytes(range(44)))
    for cut in (text, text[:30]):
        assert PLAIN.redact_text(f"got {cut}!") == f"got hms_{token_id}_{REDACTED}!"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "KeyError: 'password'",
        "TokenExpiredError: ask again",
        "Basic information is missing, the bearer of it left",
        "tokenizer_count=5 monkey: 3",
        "the token is late",
        "http://host:8080/users/me@example.com",
        'File "/srv/app.py", line 3, in handle\n    return await fetch(url, retries=3)',
    ],
)
def test_texts_without_secrets_stay_as_they_are(text: str) -> None:
    assert PLAIN.redact_text(text) == text


@given(
    st.text(st.sampled_from(list("abkey=: \"'\\{}[]()&\n-_/@.,")) | st.characters(), max_size=60)
)
def test_any_text_can_be_redacted_and_twice_is_as_once(text: str) -> None:
    for given_text in (text, f"password={text}", f'{{"token": {text}'):
        once = PLAIN.redact_text(given_text)
        assert PLAIN.redact_text(once) == once


@given(
    st.sampled_from(SECRET_KEYS).filter(lambda key: " " not in key),
    st.text(max_size=20),
    st.sampled_from([json.dumps, str, json_in_json]),
)
def test_a_secret_is_not_seen_in_a_value_written_as_text(key: str, rest: str, write: Any) -> None:
    text = write({"a": 1, key: f"{rest}{CANARY}{rest}", "b": 2})
    assert CANARY not in PLAIN.redact_text(text)


@pytest.mark.parametrize(
    "piece", ["a", "a ", "token=", "eyJaaaaaaaa-", "a://", "token={", '"', "\\", "--a "]
)
def test_a_long_text_takes_no_long_time(piece: str) -> None:
    started = time.process_time()
    PLAIN.redact_text(piece * (60_000 // len(piece)))
    assert time.process_time() - started < 2


RECORD = TaskRecord(
    id="t1",
    queue="kyc",
    state=TaskState.DONE,
    payload={"name": "Sam", "password": CANARY},
    result={"ok": True, "token": CANARY},
    error={"type": "E", "message": f"password={CANARY}"},
    handoff=Handoff("w", "k", {"ssn": CANARY, "a": 1}),
    attempts=(
        Attempt(
            number=1, worker="w", started_ms=1, finished_ms=2, error_type="E",
            error=f"token={CANARY}", traceback=f"x://a:{CANARY}@b",
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize("payload", [True, False])
@pytest.mark.parametrize("result", [True, False])
def test_a_secret_of_a_task_is_seen_by_nobody(*, payload: bool, result: bool) -> None:
    for record in (
        RECORD,
        msgspec.structs.replace(RECORD, raw=f'{{"token":"{CANARY}"}}'.encode()),
        msgspec.structs.replace(RECORD, raw=f"\xff token={CANARY}".encode("latin1")),
    ):
        seen = PLAIN.visible(record, payload=payload, result=result)
        assert CANARY not in repr(seen)
    assert CANARY in repr(RECORD)


def test_without_payload_it_is_hidden_and_the_record_says_so() -> None:
    seen = PLAIN.visible(RECORD, payload=False)
    assert (seen.payload, seen.result) == (None, None)
    assert seen.handoff == Handoff("w", "k", None)
    assert seen.hidden == ("payload", "result", "handoff.payload")
    broken = msgspec.structs.replace(RECORD, state=TaskState.FAILED, raw=b"[", handoff=None)
    seen = PLAIN.visible(msgspec.structs.replace(broken, payload=None, result=None), payload=False)
    assert (seen.raw, seen.hidden) == (None, ("raw",))


def test_a_producer_sees_the_result_and_not_the_payload() -> None:
    seen = PLAIN.visible(RECORD, payload=False, result=True)
    assert (seen.payload, seen.result) == (None, {"ok": True, "token": REDACTED})
    assert seen.hidden == ("payload", "handoff.payload")


def test_with_payload_all_is_seen_but_secrets() -> None:
    seen = PLAIN.visible(RECORD, payload=True)
    assert seen.payload == {"name": "Sam", "password": REDACTED}
    assert seen.result == {"ok": True, "token": REDACTED}
    assert seen.handoff == Handoff("w", "k", {"ssn": REDACTED, "a": 1})
    assert seen.error == {"type": "E", "message": f"password={REDACTED}"}
    assert seen.hidden == ()


def test_an_event_says_no_more_than_its_task() -> None:
    done = Event(
        id="1-0", type="done", queue="q", message="Photo OK", fields={},
        handoff=Handoff("w", "k", {"token": CANARY, "a": 1}),
    )  # fmt: skip
    seen = PLAIN.visible_event(done, payload=False)
    assert (seen.message, seen.handoff) == (None, Handoff("w", "k", None))
    seen = PLAIN.visible_event(done, payload=True)
    assert (seen.message, seen.handoff) == (
        "Photo OK",
        Handoff("w", "k", {"token": REDACTED, "a": 1}),
    )
    failed = Event(id="1-0", type="failed", queue="q", message=f"token={CANARY}", fields={})
    assert PLAIN.visible_event(failed, payload=False).message == f"token={REDACTED}"


class TestRestore:
    """What somebody changed of a value whose secrets they were not shown."""

    ORIGINAL: ClassVar[dict[str, Any]] = {
        "api_key": "hush",
        "people": [{"name": "Ann", "iban": "LV80"}, {"name": "Bob", "iban": "LV81"}],
        "n": 2**70,
    }

    @given(value=JSON)
    def test_what_nobody_changed_is_what_it_was(self, value: Any) -> None:
        redactor = Redactor()
        assert redactor.restore(redactor.redact(value), value) == value

    def test_secrets_stay_where_they_were_and_changes_are_taken(self) -> None:
        redactor = Redactor()
        changed = redactor.redact(self.ORIGINAL)
        assert "hush" not in str(changed)
        changed["people"][1]["name"] = "Bert"
        changed["api_key"] = "new"

        assert redactor.restore(changed, self.ORIGINAL) == {
            "api_key": "new",
            "people": [{"name": "Ann", "iban": "LV80"}, {"name": "Bert", "iban": "LV81"}],
            "n": 2**70,
        }

    @pytest.mark.parametrize(
        ("changed", "path"),
        [
            ({"note": REDACTED}, "$.note"),
            ({"people": [{"name": "Bob", "iban": REDACTED}]}, "$.people[0].iban"),
            ([{"api_key": REDACTED}], "$[0].api_key"),
            (REDACTED, "$"),
        ],
    )
    def test_nobody_guesses_which_secret_is_meant(self, changed: Any, path: str) -> None:
        with pytest.raises(PayloadInvalid) as caught:
            Redactor().restore(changed, self.ORIGINAL)
        assert caught.value.path == path
