"""How tests start a real browser: Debian's Chromium, by Playwright, without a look at the network outside."""

from typing import TypedDict


class Launch(TypedDict):
    """What Playwright's `chromium.launch` takes."""

    executable_path: str
    args: list[str]


LAUNCH: Launch = {
    "executable_path": "/usr/bin/chromium",
    # As root there is no sandbox; and it must not ask for updates where there is no way out.
    "args": ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
}
