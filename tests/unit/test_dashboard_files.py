"""The files of the dashboard."""

from importlib.resources import files


def test_the_page_names_every_module() -> None:
    """So that a browser fetches all of them at once, and not one after the other as it reads their imports."""
    folder = files("boss.http") / "dashboard"
    page = (folder / "index.html").read_text()
    missing = [each.name for each in folder.iterdir() if each.name.endswith(".js") and f"/page/{each.name}" not in page]
    assert missing == []
