import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_async.domain.access import (
    ON_LOOPBACK,
    Permission,
    Principal,
    Role,
    check_patterns,
    check_roles,
    matches,
)
from hms_async.errors import ConfigInvalid, Forbidden, NameInvalid

PATTERN = st.text("ab.*", min_size=1, max_size=8)
NAME = st.text("ab.", max_size=8)

TABLE = {
    Role.PRODUCER: "enqueue wait",
    Role.WORKER: "work",
    Role.VIEWER: "wait view",
    Role.OPERATOR: "wait view operate",
    Role.ADMIN: "enqueue wait work view operate administer payload",
}


@pytest.mark.parametrize("role", Role)
def test_each_role_may_do_what_the_table_says_and_nothing_else(role: Role) -> None:
    assert set(role.permissions) == {Permission(word) for word in TABLE[role].split()}


@given(PATTERN, NAME)
def test_a_pattern_matches_as_a_regular_expression_does(pattern: str, name: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert matches(pattern, name) == bool(re.fullmatch(expression, name))


@given(NAME)
def test_a_star_matches_everything_and_a_name_itself(name: str) -> None:
    assert matches("*", name)
    assert matches(name, name)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("passport.*", ["passport.photo", "passport."], ["passport", "my.passport.x", "passportx"]),
        ("kyc", ["kyc"], ["KYC", "kyc2", "kyc.x", ""]),
        ("*.high", ["a.high"], ["a.high2"]),
        ("a*a", ["aa", "aba"], ["a"]),
    ],
)
def test_patterns_are_anchored_and_only_the_star_is_special(
    pattern: str, yes: list[str], no: list[str]
) -> None:
    assert [name for name in yes if not matches(pattern, name)] == []
    assert [name for name in no if matches(pattern, name)] == []


def test_a_pattern_of_stars_costs_little() -> None:
    assert not matches("*a" * 60, "a" * 59 + "b" * 60)


@pytest.mark.parametrize("wrong", ["", "a b", "[a]", "a?", "-a", "a" * 129, "a/b", "ä", "a\n"])
def test_a_pattern_that_fits_no_name_is_refused(wrong: str) -> None:
    with pytest.raises(NameInvalid, match="pattern"):
        check_patterns(["kyc", wrong])


def test_patterns_are_kept_once_and_one_may_come_alone() -> None:
    assert check_patterns(["a", "b.*", "a"]) == ("a", "b.*")
    assert check_patterns("kyc") == ("kyc",)
    with pytest.raises(NameInvalid, match="no queue pattern"):
        check_patterns([])


def test_roles_are_those_that_exist() -> None:
    assert check_roles(["worker", "producer"]) == (Role.PRODUCER, Role.WORKER)
    assert check_roles("admin") == (Role.ADMIN,)
    with pytest.raises(ConfigInvalid, match="roles=boss: give one or several of producer, worker"):
        check_roles(["worker", "boss"])
    with pytest.raises(ConfigInvalid, match="roles=none"):
        check_roles([])


def test_a_principal_needs_both_the_permission_and_the_queue() -> None:
    clerk = Principal("clerk", Role.WORKER.permissions, ("kyc.*",))
    assert clerk.may(Permission.WORK, "kyc.docs")
    assert clerk.may(Permission.WORK)
    assert not clerk.may(Permission.WORK, "mail")
    assert not clerk.may(Permission.ENQUEUE, "kyc.docs")
    clerk.require(Permission.WORK, "kyc.docs")
    with pytest.raises(Forbidden, match='clerk lacks the permission "work" for mail') as caught:
        clerk.require(Permission.WORK, "mail")
    assert (caught.value.permission, caught.value.queue) == ("work", "mail")


def test_what_is_of_no_single_queue_is_for_those_who_reach_all() -> None:
    auditor = Principal("auditor", Role.ADMIN.permissions, ("kyc.*",))
    with pytest.raises(Forbidden, match="for every queue"):
        auditor.require_everywhere(Permission.ADMINISTER)
    ON_LOOPBACK.require_everywhere(Permission.ADMINISTER)


def test_a_producer_sees_results_and_only_payload_shows_payloads() -> None:
    producer = Principal("p", Role.PRODUCER.permissions, ("kyc",))
    assert producer.sees_result("kyc")
    assert not producer.sees_result("mail")
    assert not producer.sees_payload("kyc")
    viewer = Principal("v", Role.VIEWER.permissions)
    assert not viewer.sees_result("kyc")
    assert Principal("v", Role.VIEWER.permissions | {Permission.PAYLOAD}).sees_result("kyc")
