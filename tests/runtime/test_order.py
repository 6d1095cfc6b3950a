"""Orders of many tasks: made late, and only once."""

from hms_async.domain.task import NewTask
from hms_async.runtime.order import Order, to_orders

PAYLOADS = [1, NewTask(2, id="own"), {"a": 3}, NewTask(4, priority="high"), "five"]


def test_however_an_order_is_asked_for_it_is_the_same() -> None:
    orders = to_orders("q", PAYLOADS)

    second = orders[2:4]
    last = orders[-1]
    everyone = orders[:]

    assert len(orders) == len(everyone) == 5
    assert everyone[2:4] == second
    assert everyone[4] == last
    assert list(orders) == everyone
    assert len({order.id for order in everyone}) == 5


def test_groups_are_all_of_them_in_order() -> None:
    orders = to_orders("q", PAYLOADS)

    groups = list(orders.apart(2))

    assert [len(group) for group in groups] == [2, 2, 1]
    bodies = [order.body for group in groups for order in group]
    assert [body[body.index(b'"payload":') :] for body in bodies] == [
        b'"payload":1}',
        b'"payload":2}',
        b'"payload":{"a":3}}',
        b'"payload":4}',
        b'"payload":"five"}',
    ]


def test_an_order_out_of_a_payload_has_an_id_of_its_own() -> None:
    first, second, *_ = to_orders("q", PAYLOADS)

    assert first == Order(first.id, first.body, own_id=True)
    assert (second.id, second.own_id) == ("own", False)
