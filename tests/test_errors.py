import inspect
import re

import pytest

from hms_async import errors
from hms_async.errors import HMSError

LINE = re.compile(r"([│├└─ ]*)(\w+)(?: \((\w+)\))?(?: +(.+))?")


def all_errors(root: type[HMSError] = HMSError) -> list[type[HMSError]]:
    return [root, *(error for child in root.__subclasses__() for error in all_errors(child))]


def drawn_tree() -> dict[str, tuple[set[str], set[str]]]:
    """Each name in the drawing with its bases and the attributes named behind it."""
    _, drawing, _ = (errors.__doc__ or "").split("\n\n")
    branch: list[str] = []
    tree: dict[str, tuple[set[str], set[str]]] = {}
    for line in drawing.splitlines():
        match = LINE.fullmatch(line)
        assert match is not None, line
        indent, name, builtin, text = match.groups()
        branch[len(indent) // 4 :] = [name]
        parent = branch[-2] if len(branch) > 1 else "Exception"
        tree[name] = ({parent} | ({builtin} - {None}), set(re.findall(r"\.(\w+)", text or "")))
    return tree


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn = {name: bases for name, (bases, _) in drawn_tree().items()}

    assert drawn == {
        error.__name__: {base.__name__ for base in error.__bases__} for error in all_errors()
    }


def test_each_attribute_in_the_drawing_is_documented_in_its_class() -> None:
    for name, (_, attributes) in drawn_tree().items():
        documentation = inspect.getdoc(getattr(errors, name)) or ""
        assert attributes <= set(re.findall(r"^    (\w+):", documentation, re.MULTILINE)), name


def test_codes_are_unique_and_of_one_form() -> None:
    codes = [error.code for error in all_errors()]

    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"HMS-E\d{3}", code) for code in codes)
    assert all("code" in vars(error) for error in all_errors())


def test_codes_keep_their_meaning_across_releases() -> None:
    assert {error.__name__: error.code for error in all_errors()} == {
        "HMSError": "HMS-E000",
        "ConfigInvalid": "HMS-E001",
        "NameInvalid": "HMS-E002",
        "DurationInvalid": "HMS-E003",
        "CallSuperseded": "HMS-E018",
        "QueueNotFound": "HMS-E004",
        "IncidentNotFound": "HMS-E052",
        "CaseNotFound": "HMS-E053",
        "MessageNotFound": "HMS-E054",
        "InstantInvalid": "HMS-E005",
        "HandlerInvalid": "HMS-E006",
        "PayloadInvalid": "HMS-E010",
        "PayloadTooLarge": "HMS-E011",
        "ResultInvalid": "HMS-E012",
        "EnvelopeInvalid": "HMS-E013",
        "ClientClosed": "HMS-E014",
        "WrongEventLoop": "HMS-E015",
        "QueueFull": "HMS-E016",
        "EnqueueManyError": "HMS-E017",
        "TaskError": "HMS-E020",
        "TaskNotFound": "HMS-E021",
        "TaskFailed": "HMS-E022",
        "ResultTimeout": "HMS-E023",
        "IdInUse": "HMS-E024",
        "AlreadySettled": "HMS-E025",
        "LeaseLost": "HMS-E026",
        "WrongState": "HMS-E027",
        "TaskInProgress": "HMS-E028",
        "EnqueueUnknown": "HMS-E029",
        "CancelRequested": "HMS-E030",
        "TooFewReplicas": "HMS-E031",
        "StoreError": "HMS-E040",
        "StoreUnavailable": "HMS-E041",
        "StoreFull": "HMS-E042",
        "StoreRefused": "HMS-E043",
        "StoreProtocol": "HMS-E044",
        "ReceiverFailed": "HMS-E050",
        "SignatureInvalid": "HMS-E051",
        "AccessError": "HMS-E070",
        "Unauthenticated": "HMS-E071",
        "TokenInvalid": "HMS-E072",
        "Forbidden": "HMS-E073",
        "RateLimited": "HMS-E074",
        "FormStale": "HMS-E085",
        "TokenNotFound": "HMS-E075",
        "QueueNotEmpty": "HMS-E060",
        "QueueClosing": "HMS-E061",
        "OperationNotFound": "HMS-E062",
        "OperationTimeout": "HMS-E063",
        "OperationEnded": "HMS-E064",
        "TooManyOperations": "HMS-E065",
        "RequestInvalid": "HMS-E080",
        "RequestTooLarge": "HMS-E081",
        "AddressInUse": "HMS-E082",
    }


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.QueueNotFound("mail"), 'no queue "mail"'),
        (errors.QueueFull("mail", 5), 'queue "mail" is full: it holds 5 tasks'),
        (errors.PayloadInvalid("not JSON", path="$.a[2]"), "$.a[2]: not JSON"),
        (errors.TaskNotFound("t1"), 'no task "t1": it was never accepted, or'),
        (errors.TaskFailed("t1", "failed", "no ink"), "task t1 is failed: no ink"),
        (errors.ResultTimeout("t1", "task t1 goes on"), "task t1 goes on"),
        (errors.IdInUse("t1", "mail"), 'id "t1" is taken by a task of queue "mail"'),
        (errors.TaskInProgress("t1", "bumped"), "a worker holds it, so it cannot be bumped now"),
        (errors.EnqueueUnknown("t1"), 'enqueue it again with id="t1"'),
        (errors.TooFewReplicas("t1", 1, 2), "1 of 2 replicas had it in time"),
    ],
)
def test_messages_name_what_is_wrong(error: HMSError, message: str) -> None:
    assert message in str(error)


def test_data_is_in_attributes_not_only_in_the_message() -> None:
    assert errors.ResultTimeout("t1", "task t1 goes on").task_id == "t1"
    assert errors.TaskInProgress("t1", "requeued").state == "in_progress"
    assert errors.TaskFailed("t1", "expired", "late").reason == "late"
    assert errors.QueueFull("mail", 5).max_depth == 5
    assert errors.PayloadInvalid("not JSON").path == "$"


def test_enqueue_many_counts_the_refused_and_shows_the_first() -> None:
    error = errors.EnqueueManyError([object(), errors.QueueFull("mail", 1), errors.HMSError("x")])

    assert str(error).startswith('2 of 3 tasks were refused; the first: queue "mail" is full')
    assert len(error.results) == 3
