"""The site as a planner uses it: headless Chromium against the deployed stack, through the load balancer.

Needs the fixture ``site`` (session), which the caller's conftest brings, with

- ``url``: the site's origin, without a slash at its end; at least one version of the case data is loaded;
- ``state``, ``county``: a state and one of its counties in that data;
- ``password_link(username, group)``: makes a user of the group (``Fargate``, ``Fargate Spot``, ``Onboard``)
  and gives the one-time link to choose a password (what ``python -m ops projections user add`` prints).
"""

import csv
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from sandbox.bootstrap import browser as chromium

FLAGS = (
    "--no-sandbox",  # containers and CI run as root, without user namespaces
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
RUN_TIMEOUT_MS = 240_000
BANDS = ("cumulative", "epidemic", "hospitalized", "icu", "fatalities")


class Site(Protocol):
    """What the fixture ``site`` has."""

    url: str
    state: str
    county: str

    def password_link(self, username: str, group: str) -> str: ...


@dataclass
class Watched:
    """A page, and what should never happen on it: errors, refused styles and scripts, requests to others."""

    page: Page
    origin: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda said: self._said(said.type, said.text))
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("request", lambda request: self._asked(request.url))

    def _said(self, kind: str, text: str) -> None:
        if kind == "error" or "Content Security Policy" in text:
            self.problems.append(f"console: {text}")

    def _asked(self, url: str) -> None:
        if not url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.problems.append(f"request to {url}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium.find()
    assert path is not None, "no Chromium: ./dev test sandbox installs Debian's"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS), timeout=60_000)
        yield started
        started.close()


@pytest.fixture(scope="module")
def account(site: Site, browser: Browser) -> tuple[str, str]:
    """A planner who chose a password by the one-time link: name and password."""
    name, password = f"planner-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
    link = site.password_link(name, "Onboard")
    page = browser.new_page()
    page.goto(link)
    expect(page.get_by_role("heading", name="Set your password")).to_be_visible()
    page.get_by_label("New password", exact=True).fill(password)
    page.get_by_label(re.compile("confirm", re.IGNORECASE)).fill(password)
    page.get_by_role("button", name="Set it").click()
    expect(page.get_by_role("heading", name="Password set")).to_be_visible()
    page.goto(link)
    expect(page.get_by_role("heading", name="This link doesn't work any more")).to_be_visible()
    page.close()
    return name, password


def login(page: Page, site: Site, account: tuple[str, str]) -> None:
    page.goto(f"{site.url}/")
    page.get_by_label("Username").fill(account[0])
    page.get_by_label("Password").fill(account[1])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="New projection")).to_be_visible()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened.set_default_timeout(20_000)
    yield opened
    opened.close()


@pytest.fixture
def watched(context: BrowserContext, site: Site, account: tuple[str, str]) -> Iterator[Watched]:
    """Somebody logged in; at the end nothing may have gone wrong in the browser."""
    opened = Watched(context.new_page(), site.url)
    login(opened.page, site, account)
    yield opened
    assert opened.problems == []


def fill(page: Page, site: Site, *, days: int, draws: int = 2000) -> None:
    """Choose the county, with a shelter that is eased, so that every part of the form is used."""
    page.get_by_label("State", exact=True).select_option(site.state)
    page.wait_for_load_state()
    expect(page.get_by_label("State", exact=True)).to_have_value(site.state)
    page.get_by_role("button", name="Clear choice").click()
    page.get_by_label("Find a county").fill(site.county.upper())
    page.get_by_role("checkbox", name=site.county, exact=True).check()
    quarantine = page.get_by_role("checkbox", name="Quarantine")
    quarantine.check()
    page.locator("#id_quarantine_percent").fill("40")
    page.get_by_label("Days to project").fill(str(days))
    page.get_by_label("Simulated courses").fill(str(draws))


def submit(page: Page) -> str:
    """Press the button; the address of the run's page."""
    page.get_by_role("button", name="Project", exact=True).click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}/$"))
    return page.url


def wait_for_charts(page: Page) -> None:
    page.wait_for_selector("#charts[data-drawn=yes]", timeout=RUN_TIMEOUT_MS)


def test_a_planner_submits_a_projection_and_sees_its_charts(
    watched: Watched, site: Site, tmp_path: Path
) -> None:
    page = watched.page
    fill(page, site, days=35)
    expect(page.locator(".timeline rect.full")).not_to_have_count(0)
    run = submit(page)
    wait_for_charts(page)

    for slug in BANDS:
        plot = page.locator(f"#plot-{slug}")
        # A band and a median that were really drawn, from the document's days.
        assert plot.locator(".scatterlayer path.js-fill").count() == 1, slug
        drawn = plot.locator(".scatterlayer path.js-line").last.bounding_box()
        assert drawn is not None, slug
        assert drawn["width"] > 150, (slug, drawn)
        assert plot.evaluate("plot => plot.data.find((trace) => trace.name === 'Median').y.length") == 35
    assert page.locator("#plot-cumulative .points path").count() > 10
    page.locator("#plot-cumulative .nsewdrag").hover()
    expect(page.locator("#plot-cumulative .hoverlayer")).to_contain_text(re.compile(r"median|observed"))

    saved = {}
    for kind in ("JSON", "CSV"):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download {kind}").click()
        saved[kind] = tmp_path / kind
        download.value.save_as(saved[kind])
    output: dict[str, Any] = json.loads(saved["JSON"].read_text())
    assert len(output["ICU"]) == 35
    lines = list(csv.DictReader(saved["CSV"].open()))
    assert sum(line["series"] == "Cumulative" for line in lines) == 35
    # The figure over the charts is the document's.
    last = output["Cumulative"][max(output["Cumulative"])]
    shown = page.locator(".tile.cumulative .value").inner_text()
    assert int(re.sub(r"\D", "", shown)) == pytest.approx(last[1], abs=0.51)

    page.goto(f"{site.url}/runs/")
    row = page.get_by_role("row").filter(has=page.locator(f"a[href='{run.removeprefix(site.url)}']"))
    expect(row).to_contain_text("Succeeded")


def test_the_same_choice_again_is_the_same_run_at_once(watched: Watched, site: Site) -> None:
    page = watched.page
    fill(page, site, days=21)
    first = submit(page)
    wait_for_charts(page)
    page.goto(f"{site.url}/")
    fill(page, site, days=21)
    assert submit(page) == first
    expect(page.get_by_text("Somebody asked for exactly this before")).to_be_visible()
    wait_for_charts(page)


def test_progress_is_shown_and_a_run_can_be_cancelled_and_started_again(watched: Watched, site: Site) -> None:
    page = watched.page
    fill(page, site, days=120, draws=200_000)
    submit(page)
    bar = page.get_by_role("progressbar")
    expect(bar).to_be_visible()
    page.get_by_role("button", name="Cancel this run").click()
    expect(page.get_by_text("The run was cancelled.")).to_be_visible()
    expect(page.locator("[data-badge]")).to_have_text("Failed")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("The run was started again")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_be_visible()
    # Without reloading: the script asks, and the percents go up.
    expect(page.locator("[data-percent]")).not_to_have_text("0 %", timeout=RUN_TIMEOUT_MS)
    page.get_by_role("button", name="Cancel this run").click()
    expect(page.locator("[data-badge]")).to_have_text("Failed")


def test_the_form_works_by_keyboard(watched: Watched, site: Site) -> None:
    page = watched.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    fill(page, site, days=14)
    page.get_by_role("button", name="Clear choice").focus()
    page.keyboard.press("Enter")
    search = page.get_by_label("Find a county")
    search.fill("no county is called this")
    expect(page.get_by_text("No county has this in its name.")).to_be_visible()
    search.fill(site.county)
    matching = page.locator("#counties .list label:visible").count()
    if matching == 1:
        search.press("Enter")  # the only match is taken
    else:
        page.get_by_role("checkbox", name=site.county, exact=True).press("Space")
    expect(page.get_by_role("button", name=f"Take out {site.county}")).to_be_visible()
    page.get_by_role("button", name="Project", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}/$"))


def test_it_works_without_javascript(browser: Browser, site: Site, account: tuple[str, str]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    login(page, site, account)
    page.get_by_label("State", exact=True).select_option(site.state)
    page.get_by_role("button", name="Show counties").click()
    for box in page.get_by_role("group", name=re.compile("Counties of")).get_by_role("checkbox").all():
        box.set_checked(box.get_attribute("value") == site.county)
    page.get_by_label("Days to project").fill("16")
    page.get_by_label("Simulated courses").fill("1000")
    submit(page)
    # The page refreshes itself; the values are in tables.
    table = page.get_by_role("table", name=re.compile("In hospital")).first
    page.wait_for_selector("#charts", state="attached", timeout=RUN_TIMEOUT_MS)
    page.get_by_text("Values as a table").nth(2).click()
    assert table.get_by_role("row").count() == 17
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "dark")])
def test_pages_fit_narrow_screens_and_both_colour_schemes(
    browser: Browser, site: Site, account: tuple[str, str], width: int, scheme: Any
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    watched = Watched(context.new_page(), site.url)
    page = watched.page
    login(page, site, account)
    for path in ("/", "/runs/?whose=all", "/accounts/password/"):
        page.goto(f"{site.url}{path}")
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, path
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(part) for part in re.findall(r"\d+", colour)[:3])
    assert (red + green + blue < 200) == (scheme == "dark")
    context.close()
    assert watched.problems == []
