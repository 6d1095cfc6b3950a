import hms_async
from hms_async import errors


def test_everything_public_is_there_and_named_once() -> None:
    names = hms_async.__all__
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(hms_async, name)] == []


def test_every_error_can_be_caught_from_the_package() -> None:
    tree = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.HMSError)
    }
    assert tree <= set(hms_async.__all__)
