"""What the pages name exists: files, functions, commands, links. Code moves, and pages that nobody runs go stale."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from flows.__main__ import main
from tests.clone import CHECKOUT
from tests.docs.pages import Page

PAGES = [Page(p) for p in (CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").rglob("*.md")))]
FOLDERS = ("bench", "configs", "deployments", "docs", "flows", "notebooks", "pillars", "projects", "tasks", "tests")
ENDINGS = ("py", "md", "yaml", "toml", "dvc", "lock", "json", "cfg")
MADE = ("var/", "data/", "dvc-data/", "origin/", "plots/", ".venv")  # at run time, or no path of this tree
FILE = re.compile(rf"[\w./-]+\.({'|'.join(ENDINGS)})|({'|'.join(FOLDERS)})/[\w./-]*")
NAME = re.compile(r"(pillars|tasks|flows|projects|deployments|bench)(\.\w+)+")
TREE = {p.relative_to(CHECKOUT) for folder in FOLDERS for p in (CHECKOUT / folder).rglob("*")}
TREE |= {p.relative_to(CHECKOUT) for p in CHECKOUT.iterdir()}
OF_A_PAGE = {"projects/library.py", "configs/library.yaml"}  # files that the reader of a page makes

each_page = pytest.mark.parametrize("page", [pytest.param(p, id=p.path.relative_to(CHECKOUT).as_posix()) for p in PAGES])


def exists(path: str) -> bool:
    """Whether a file or folder has this path, or ends with it."""
    parts = Path(path).parts
    return any(found.parts[-len(parts) :] == parts for found in TREE)


def resolves(name: str) -> bool:
    """Whether a dotted name is a module or something in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        return found is not None
    return False


@each_page
def test_every_file_that_is_named_is_there(page: Page):
    named = [span for span in page.spans if FILE.fullmatch(span) and not span.startswith(MADE) and span not in OF_A_PAGE]
    assert [span for span in named if not exists(span)] == []


@each_page
def test_every_dotted_name_is_there(page: Page):
    named = [span for span in page.spans if NAME.fullmatch(span) and not FILE.fullmatch(span)]
    assert [span for span in named if not resolves(span)] == []


@each_page
def test_every_link_leads_somewhere(page: Page):
    def leads(link: str) -> bool:
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        return target.exists() and (not anchor or anchor in Page(target).anchors)

    assert [link for link in page.links if "://" not in link and not leads(link)] == []


@each_page
def test_every_command_is_there(page: Page):
    code = [*page.spans, *(line for language in ("sh", "") for block in page.blocks(language) for line in block.splitlines())]
    verbs = {word for span in code for word in re.findall(r"^pillars ([a-z]+)", span)}
    targets = {word for span in code for word in re.findall(r"^make ([a-z-]+)", span)}
    known = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), flags=re.MULTILINE))
    assert verbs <= set(main.commands)
    assert targets <= known


def test_the_index_lists_every_page_of_its_folder():
    listed = set(Page(CHECKOUT / "docs" / "README.md").links)
    assert {p.name for p in (CHECKOUT / "docs").glob("*.md")} - {"README.md"} <= listed


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        pytest.param("`pillars/nowhere.py`", test_every_file_that_is_named_is_there, id="file"),
        pytest.param("`pillars.training.gate.nobody`", test_every_dotted_name_is_there, id="function"),
        pytest.param("[x](nowhere.md)", test_every_link_leads_somewhere, id="link"),
        pytest.param("[x](#no-such-heading)", test_every_link_leads_somewhere, id="anchor"),
        pytest.param("`pillars fly`", test_every_command_is_there, id="verb"),
        pytest.param("`make believe`", test_every_command_is_there, id="target"),
    ],
)
def test_the_checks_see_what_is_not_there(tmp_path: Path, text: str, broken):
    (tmp_path / "page.md").write_text(f"# Page\n{text}\n")
    with pytest.raises(AssertionError):
        broken(Page(tmp_path / "page.md"))
