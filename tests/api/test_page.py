"""docs/rest.md says what is served."""

from pathlib import Path

from hms_async.api.app import create_app

PAGE = (Path(__file__).parents[2] / "docs/rest.md").read_text()


def test_each_path_is_on_the_page() -> None:
    for path in create_app("memory://page").openapi()["paths"]:
        act = path.rpartition("/")[2]
        assert (
            f"`{path}`" in PAGE
            or f" {path}`" in PAGE
            or f"`/{act}`" in PAGE
            or (f"`/oms/{act}`" in PAGE or f".../{act}`" in PAGE)
        ), path
