"""Every page in both themes, at three widths: its policy holds, it fits, it is accessible."""

from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, Opens, System

pytestmark = [pytest.mark.chromium, pytest.mark.process, pytest.mark.timeout(180)]

expect.set_options(timeout=PATIENCE_MS)

WIDTHS = (360, 800, 1600)
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()


@pytest.fixture(scope="module")
def paths(system: System) -> dict[str, str]:
    """The pages of a system in trouble, by name."""
    system.create("photo", sla="1h", retry={"max_attempts": 1})
    system.create("idle")
    system.work("photo")
    for n in range(3):
        system.push("photo", {"fail": f"truncated at byte {n}"}, correlation_id="CASE-1")
    failed = system.push("photo", {"raise": "Sam" * 80}, correlation_id="CASE-1")
    system.push("photo", {}, delay="1h")
    system.push("photo", {"gate": "never"}, correlation_id="RUNS")
    system.until(failed, "failed")
    for minutes_ago in (3, 4, 9):
        system.waited("photo", minutes_ago=minutes_ago)
    return {
        "overview": "/",
        "queue": "/q/photo",
        "empty queue": "/q/idle",
        "failed list": "/q/photo/tasks?state=failed",
        "task": f"/t/{failed}",
        "case": "/c/CASE-1",
        "workers": "/workers",
        "promises": "/sla?since=1d",
        "failed": "/failed",
        "operations": "/operations",
        "audit": "/audit",
        "one act": f"/t/{failed}/do/requeue",
        "run again": f"/t/{failed}/do/again",
        "many": "/q/photo/tasks/do/requeue?state=failed",
        "pause": "/q/photo/do/pause",
        "sign in": "/sign-in",
        "search": "/search?q=nothing",
        "help": "/help",
    }


def serious(page: Page) -> list[Any]:
    page.evaluate(AXE)
    found = page.evaluate("axe.run()")["violations"]
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_are_accessible_fit_and_keep_their_policy(
    opens: Opens, paths: dict[str, str], theme: str
) -> None:
    page = opens("/", color_scheme=theme)
    faults: list[Any] = []
    for name, path in paths.items():
        page.goto(page.url.split("/ui")[0] + "/ui" + path)
        if page.locator("script").count():
            page.locator("html.js").wait_for(state="attached")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                faults.append((name, width, f"is {wide} wide"))
        faults += [(name, *one) for one in serious(page)]

    assert not faults, "\n".join(map(str, faults))


def test_a_row_of_the_overview_has_its_waits_as_a_line_where_there_is_room(
    opens: Opens, paths: dict[str, str]
) -> None:
    page = opens(paths["overview"], java_script_enabled=False)
    line = page.locator("#q-photo").get_by_role("img", name="p95 of waits in 30 min")

    expect(line).to_be_visible()
    expect(line.locator("path.in")).to_have_css("stroke", "rgb(31, 95, 153)")
    expect(page.locator("#q-idle").get_by_role("img", name="waits")).to_have_count(0)
    page.set_viewport_size({"width": 390, "height": 900})
    expect(line).to_be_hidden()
