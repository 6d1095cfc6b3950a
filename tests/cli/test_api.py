"""Where `hms api` listens, and where it does not as long as everybody could come in."""

import pytest

from tests.cli.conftest import Hms

pytestmark = pytest.mark.usefixtures("url")


@pytest.mark.parametrize("command", ["api", "web"])
@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "[::]"])  # noqa: S104  # refused
def test_an_address_that_others_reach_needs_a_token_first(
    hms: Hms, command: str, host: str
) -> None:
    refused = hms(command, "--bind", f"{host}:8470")

    assert refused.exit_code == 2
    assert "hms token create --role admin" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_with_a_token_it_goes_on_to_listen(hms: Hms) -> None:
    hms("token", "create", "--role", "admin")

    # An address of nobody's machine, so that it cannot.
    tried = hms("api", "--bind", "192.0.2.1:8470")

    assert tried.exit_code == 5
    assert "cannot listen on 192.0.2.1:8470" in tried.stderr


def test_a_key_alone_is_no_tls(hms: Hms) -> None:
    assert hms("api", "--tls-key", "service.py").exit_code == 2
