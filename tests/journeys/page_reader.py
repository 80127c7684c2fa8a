"""Who reads a page in a real, headless Chromium, by mouse and keyboard, on a phone and in the dark."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDE, PHONES, PAPER, HEIGHT = 1280, (320, 390), 700, 900

# Texts whose contrast with what is behind them is less than WCAG's AA asks for: 4.5, or 3 where letters are large.
FAINT_TEXTS = """
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => numbers(colour).slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const colour = getComputedStyle(element).backgroundColor;
    if ((numbers(colour)[3] ?? 1) > 0) return colour;
  }
};
const faint = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || element.closest("script, title, option")) continue;
  const style = getComputedStyle(element);
  const pair = [light(element.closest("svg") ? style.fill : style.color), light(behind(element))].sort((a, b) => b - a);
  const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (contrast < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) faint.push([walker.currentNode.textContent, contrast]);
}
return faint;
"""


def start_chromium(profile: Path) -> Any:
    """A Chromium that is driven, or a skipped test where there is none; `profile` is its own folder."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("there is no chromium with chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


class Reader:
    """Who reads a page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def opens(self, page: Path | str, *, width: int = WIDE, dark: bool = False, script: bool = True) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tells("Emulation.setDeviceMetricsOverride", width=width, height=HEIGHT, deviceScaleFactor=1, mobile=width < WIDE)
        self.tells("Emulation.setEmulatedMedia", features=[scheme])
        self.tells("Emulation.setScriptExecutionDisabled", value=not script)
        self.driver.get(_address(page))

    def tells(self, command: str, **values: Any) -> None:
        self.driver.execute_cdp_cmd(command, values)

    def finds(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def sees(self, selector: str) -> list[str]:
        """The texts of what is shown."""
        return [element.text for element in self.driver.find_elements("css selector", selector) if element.is_displayed()]

    def asks(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def presses(self, *keys: str) -> None:
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)
        self._waits()

    def _waits(self) -> None:
        """Until the page has done what it was about to do: a dialog tells that it was closed a moment after it was."""
        self.driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => setTimeout(done));")

    @property
    def names(self) -> list[str]:
        """Of the pictures that are shown, in their order."""
        return list(self.asks("return [...document.querySelectorAll('#list .name')].map((name) => name.textContent)"))

    @property
    def here(self) -> str:
        """The name of the picture that has the focus."""
        self._waits()
        return str(self.asks("return document.activeElement.querySelector('.name')?.textContent ?? ''"))

    def requests(self, page: Path | str) -> list[str]:
        """What the page asked for, itself among it; what the browser's own first tab asks for is not its doing."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [request["request"]["url"] for request in asked if request["documentURL"] == _address(page)]

    def complaints(self) -> list[str]:
        """Of the browser."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


def _address(page: Path | str) -> str:
    """Of a page that is a file, or of one that a server has."""
    return page if isinstance(page, str) else page.as_uri()
