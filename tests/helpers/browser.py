"""Starts a real browser for tests: Debian's Chromium with Playwright, without access to the network outside."""

from typing import TypedDict


class Launch(TypedDict):
    """The arguments for Playwright's `chromium.launch`."""

    executable_path: str
    args: list[str]


LAUNCH: Launch = {
    "executable_path": "/usr/bin/chromium",
    # As root Chromium has no sandbox, and it must not ask for updates where there is no network.
    "args": [
        *("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
        # Without a graphics card its process draws in software: a sixth of what a page takes of the processor.
        "--disable-gpu",
    ],
}
