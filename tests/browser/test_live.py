"""What a person does at the dashboard while people and workers are at work."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, Opens, System
from tests.process.support import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.process, pytest.mark.timeout(120)]

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def desk(system: System) -> System:
    """A system with a worker."""
    system.create("photo", sla="2h", retry={"max_attempts": 1})
    system.create("press", sla="2s", ladder=["100% breach,escalate"])
    system.work("photo", "press", slots=4)
    return system


def listed(page: Page, title: str) -> str:
    """Return what one of the four lists shows."""
    return page.get_by_role("region", name=title).inner_text()


def test_a_task_goes_through_the_lists_without_a_reload(desk: System, opens: Opens) -> None:
    page = opens("/q/photo")
    page.evaluate("window.stayed = true")

    desk.push("photo", {"gate": "lists"}, correlation_id="REQ-1")
    expect(page.get_by_role("region", name="In-Progress")).to_contain_text("REQ-1")
    desk.open_gate("lists")
    expect(page.get_by_role("region", name="Done")).to_contain_text("REQ-1")
    expect(page.get_by_role("region", name="In-Progress")).not_to_contain_text("REQ-1")

    assert page.evaluate("window.stayed") is True
    expect(page.locator("#fresh")).to_have_text("live")


def test_what_one_points_at_stays_where_it_is(desk: System, opens: Opens) -> None:
    desk.until(desk.push("photo", {}, correlation_id="FIRST"), "done")
    page = opens("/q/photo")
    done = page.get_by_role("region", name="Done")
    expect(done).to_contain_text("FIRST")
    done.hover()
    before = done.locator("li a.row").first.inner_text()

    desk.until(desk.push("photo", {}, correlation_id="SECOND"), "done")
    expect(done.locator(".held")).to_be_visible()
    assert done.locator("li a.row .name").first.inner_text() == before.splitlines()[1]
    page.keyboard.press(".")
    expect(done.locator("li a.row .name").first).to_have_text("SECOND")


def test_a_case_is_found_by_its_correlation_id_and_its_traceback_read(
    desk: System, opens: Opens
) -> None:
    lost = desk.push("photo", {"raise": "Sam"}, correlation_id="CASE-7")
    desk.until(lost, "failed")
    page = opens("/")

    page.keyboard.press("/")
    page.keyboard.type("CASE-7")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Case CASE-7")).to_be_visible()
    page.get_by_role("rowheader", name="photo").get_by_role("link").click()

    expect(page.get_by_text("Failed after 1 attempt")).to_be_visible()
    trace = page.locator("pre", has_text="Traceback")
    expect(trace).to_be_hidden()
    page.get_by_text("LookupError: no file of Sam").last.click()
    expect(trace).to_contain_text("tests/browser/clerk.py")


def test_a_breach_arrives_by_itself(desk: System, opens: Opens) -> None:
    page = opens("/")
    expect(page.get_by_role("row", name="press")).to_contain_text("on track")

    desk.push("press", {"gate": "press"}, correlation_id="LATE-1")

    expect(page.get_by_role("row", name="press")).to_contain_text("breached")
    expect(page.get_by_role("heading", level=1)).to_contain_text("press: 1 task late")
    expect(page.get_by_role("region", name="Incidents")).to_contain_text("press")
    desk.open_gate("press")
    expect(page.get_by_role("row", name="press")).to_contain_text("on track")


def test_one_gets_about_by_keys_alone(desk: System, opens: Opens) -> None:
    desk.until(desk.push("photo", {}, correlation_id="BY-KEYS"), "done")
    page = opens("/")
    expect(page.get_by_role("row", name="photo")).to_be_visible()
    names = page.locator("tbody [data-row]").all_inner_texts()

    for _ in range(names.index("photo") + 1):
        page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/q/photo")
    for _ in range(3):
        page.keyboard.press("]")
    expect(page.locator("html.js")).to_be_attached()
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.wait_for_url("**/workers")
    page.keyboard.press("?")
    page.wait_for_url("**/help")

    page.get_by_label("no single keys in this browser").check()
    page.keyboard.press("g")
    page.keyboard.press("o")
    assert page.url.endswith("/help")


def test_numbers_are_exact_whatever_a_browser_makes_of_them(desk: System, opens: Opens) -> None:
    number = 2**63 + 1
    done = desk.push("photo", {"number": number})
    desk.until(done, "done")

    page = opens(f"/t/{done}")

    expect(page.get_by_role("main")).to_contain_text(f'"number": {number}')


def test_it_works_without_scripts(desk: System, opens: Opens) -> None:
    task = desk.push("photo", {"fail": "truncated at byte 77"})
    desk.until(task, "failed")
    page = opens("/", java_script_enabled=False)

    page.get_by_role("link", name="photo", exact=True).click()
    page.get_by_role("region", name="Failed").get_by_role(
        "link", name="truncated at byte 77"
    ).click()

    expect(page.get_by_text("truncated at byte 77").first).to_be_visible()
    expect(page.locator("time").first).to_contain_text("UTC")


def test_a_queue_is_paused_and_goes_on(desk: System, opens: Opens) -> None:
    page = opens("/q/photo")

    page.get_by_role("link", name="Pause", exact=True).click()
    asked = page.get_by_role("dialog")
    asked.get_by_label("Why").fill("the scanner is broken")
    asked.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("link", name="Resume", exact=True)).to_be_visible()
    desk.push("photo", {}, correlation_id="HELD")
    expect(page.get_by_role("main")).to_contain_text("The queue is paused: the scanner is broken")

    page.get_by_role("link", name="Resume", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(page.get_by_role("region", name="Done")).to_contain_text("HELD")
    (entry,) = [
        one
        for one in desk.http.get("/oms/audit", params={"queue": "photo"}).json()["entries"]
        if one["act"] == "pause"
    ]
    assert (entry["via"], entry["reason"]) == ("dashboard", "the scanner is broken")


def test_a_group_of_failed_tasks_is_retried_one_of_them_first(desk: System, opens: Opens) -> None:
    desk.create("scan", retry={"max_attempts": 1})
    desk.work("scan")
    tasks = [desk.push("scan", {"fail": f"page {n} is blank"}) for n in range(3)]
    for task in tasks:
        desk.until(task, "failed")
    page = opens("/failed?queue=scan")
    group = page.get_by_role("row", name="page # is blank")
    expect(group).to_contain_text("3")

    group.get_by_role("link", name="Retry 1 first").click()
    page.get_by_role("dialog").get_by_role("button").first.click()
    page.wait_for_url("**/t/*")
    page.goto(f"{desk.url}/failed?queue=scan")
    group.get_by_role("link", name="Retry all").click()
    page.get_by_role("dialog").get_by_role("button").first.click()

    page.wait_for_url("**/operations/*")
    operation = page.url.rpartition("/")[2].partition("?")[0]
    eventually(
        lambda: desk.http.get(f"/oms/operations/{operation}").json()["state"] == "done",
        "the operation is done",
    )
    done = desk.http.get(f"/oms/operations/{operation}").json()
    assert (done["act"], done["done"]) == ("requeue", 3)
    expect(page.get_by_role("main")).to_contain_text("done")
