"""The public address is written once, and the workflows do what can be done here."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading

import nbformat
import pytest
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

import ledger
import notebooks
import publish

ROOT = ledger.ROOT
STAND_IN = "https://github.com/some-one/some-book"
PAGES = "https://some-one.github.io/some-book"
THIS = "tests/test_publish.py"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)


def sources(root=ROOT):
    """Returns what git has, or would have, of a tree; the package's weights would say nothing."""
    run = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(run, cwd=ROOT, check=True, text=True, stdout=-1).stdout.splitlines()
    return {name: (root / name).read_bytes() for name in names if (root / name).is_file()}


def tool(tree, *command, **env):
    dropped = ("ADDRESS", "RUNNER_ENVIRONMENT", "REQUIRE_NETWORK")
    env = {name: value for name, value in os.environ.items() if name not in dropped} | env
    run = [sys.executable, str(tree / "tools/publish.py"), *command]
    return subprocess.run(run, cwd=tree, env=env, text=True, capture_output=True)


@pytest.fixture
def tree(tmp_path):
    """A copy of the sources, to write to."""
    for name, content in sources().items():
        if not name.endswith(".safetensors"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
    return tmp_path


def test_the_sources_are_what_the_tool_writes(tree):
    before = sources(tree)
    assert tool(tree, "address").returncode == 0
    assert sources(tree) == before


def test_the_address_is_one_setting(tree):
    before, now = sources(tree), notebooks.public_address()
    assert tool(tree, "address", ADDRESS=STAND_IN).returncode == 0
    after = sources(tree)
    names = [path.relative_to(ROOT).as_posix() for path in notebooks.notebooks()]
    handouts = [path.relative_to(ROOT).as_posix() for path in notebooks.handouts()]
    filled = {name for name, text in after.items() if b"some-one" in text} - {THIS}
    assert filled == {"_config.yml", "README.md", "CITATION.cff", *names, *handouts}
    assert not now or not [name for name, text in after.items() if now.encode() in text]

    config = yaml.safe_load(after["_config.yml"])
    assert config["repository"]["url"] == STAND_IN and config["html"]["baseurl"] == PAGES
    citation = yaml.safe_load(after["CITATION.cff"])
    assert (citation["repository-code"], citation["url"]) == (STAND_IN, PAGES)
    readme = after["README.md"].decode()
    assert f"]({PAGES})" in readme
    for name in names:
        cell = notebooks.install_cell(STAND_IN)
        assert cell in json.loads(after[name])["cells"]
        assert f"/github/some-one/some-book/blob/{publish.branch()}/{name})" in readme

    assert tool(tree, "address", ADDRESS=now).returncode == 0
    assert sources(tree) == before


@pytest.mark.parametrize(
    "address", ["github.com/a/b", "https://example.org/a/b", "https://github.com/a"]
)
def test_what_is_no_repository_is_refused(tree, address):
    before = sources(tree)
    assert "OWNER/NAME" in tool(tree, "address", ADDRESS=address).stderr
    assert sources(tree) == before


def guesses(files):
    """Returns {file: addresses of a repository or of pages that are not the one setting}."""
    address = notebooks.public_address()
    name = re.escape(address.rpartition("/")[2] or "minidiff")
    guess = re.compile(
        rf"github\.com[/:]([\w.-]+/(?:minidiff|{name}))\b|([\w-]+\.github\.io/(?:minidiff|{name}))\b"
        rf"|/github/([\w.-]+/(?:minidiff|{name}))\b|githubusercontent\.com/([\w.-]+/(?:minidiff|{name}))\b"
    )
    true = {address.removeprefix("https://github.com/"), ""}
    true |= {publish.pages_address(address).removeprefix("https://")}
    found = {
        file: set().union(*guess.findall(content.decode("utf-8", "replace"))) - true
        for file, content in files.items()
    }
    return {file: parts for file, parts in found.items() if parts}


def test_nobody_guesses_the_address():
    assert guesses(sources()) == {}


@pytest.mark.parametrize(
    "start",
    [
        "git+https://github.com",
        "git@github.com:",
        "https://colab.research.google.com/github",
        "https://raw.githubusercontent.com",
    ],
)
def test_a_guessed_address_is_noticed(start):
    text = f"{start}{'' if start.endswith(':') else '/'}some-one/minidiff/README.md"
    assert guesses({"a.md": text.encode()}) == {"a.md": {"some-one/minidiff"}}


@pytest.mark.slow
def test_the_buttons_of_a_page_follow_the_address(tree):
    """Renders one notebook, not executed, as the deployment does for the repository it runs in."""
    tool(tree, "address", ADDRESS=STAND_IN)
    book = json.loads((tree / "book/03-ddpm.ipynb").read_text())
    book["cells"] = book["cells"][:1]
    (tree / "book/03-ddpm.ipynb").write_text(json.dumps(book))
    (tree / "book/equations.md").write_text("# Ledger\n")
    (tree / "_toc.yml").write_text(
        "format: jb-book\nroot: book/03-ddpm\nchapters: [{file: book/equations}]\n"
    )
    script = """
import sys
from jupyter_book.sphinx import build_sphinx
off = {"nb_execution_mode": "off", "latex_individualpages": False}
build_sphinx(".", "_build/html", path_config="_config.yml", noconfig=True, confoverrides=off)
"""
    subprocess.run([sys.executable, "-c", script], cwd=tree, check=True)
    page = (tree / "_build/html/book/03-ddpm.html").read_text()
    hrefs = set(re.findall(r'href="([^"]+)"', page))
    branch = publish.branch()
    assert f"{publish.COLAB}/some-one/some-book/blob/{branch}/book/03-ddpm.ipynb" in hrefs
    assert f"{STAND_IN}/edit/main/book/03-ddpm.ipynb" in hrefs
    assert f"{PAGES}/book/03-ddpm.html" in hrefs
    ledger_page = (tree / "_build/html/book/equations.html").read_text()
    assert f'href="{STAND_IN}/edit/main/tools/ledger.py"' in ledger_page

    assert tool(tree, "sitemap").returncode == 0
    assert (
        f"<loc>{PAGES}/book/equations.html</loc>" in (tree / "_build/html/sitemap.xml").read_text()
    )


def commit(tree):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        [*who, "commit", "-q", "-m", "a"],
    ):
        run_git(tree, *who, *command)


def run_git(tree, *command):
    run = ["git", *command]
    return subprocess.run(run, cwd=tree, check=True, text=True, stdout=-1).stdout


@pytest.mark.slow
def test_executed_notebooks_go_to_the_branch_of_the_button(tree, tmp_path_factory):
    tool(tree, "address", ADDRESS=STAND_IN)
    assert "make book" in tool(tree, "executed").stderr
    stamp = [sys.executable, "-c", "import executed; executed.drop_stale()"]
    subprocess.run(stamp, cwd=tree / "tools", check=True)
    for path in (tree / "book").glob("*.ipynb"):  # as if make book had executed them
        book = nbformat.read(path, 4)
        book.cells = [cell for cell in book.cells if cell.cell_type == "code"][:2]
        nbformat.write(book, path)
        for cell in book.cells:
            cell.outputs = [nbformat.v4.new_output("stream", text=f"ran {path.stem}\n")]
        cache = get_cache(tree / "_build/.jupyter_cache")
        cache.cache_notebook_bundle(CacheBundleIn(book, str(path)), check_validity=False)
    assert tool(tree, "executed").returncode == 0

    commit(tree)
    origin = tmp_path_factory.mktemp("origin")
    run_git(origin, "init", "-q", "--bare")
    assert "NOT PUSHED" in tool(tree, "notebooks").stdout
    run_git(tree, "remote", "add", "origin", str(origin))
    for text in ("first", "second"):
        (tree / "README.md").write_text(text)
        commit(tree)
        (tree / "README.md").write_text("not committed")
        assert tool(tree, "notebooks").returncode == 0
    assert run_git(tree, "status", "--porcelain") == " M README.md\n"
    target = publish.branch()
    names = run_git(origin, "ls-tree", "-r", "--name-only", target).split()
    paths = notebooks.handouts() + notebooks.notebooks()
    assert names == [path.relative_to(ROOT).as_posix() for path in paths]
    assert run_git(origin, "rev-list", "--count", target) == "1\n"
    name = names[len(notebooks.handouts())]
    shown = json.loads(run_git(origin, "show", f"{target}:{name}"))["cells"]
    assert shown[0]["outputs"][0]["text"] == f"ran {name[5:-6]}\n"
    assert STAND_IN in shown[0]["source"]

    (tree / "minidiff/new.py").write_text("")
    assert "make book" in tool(tree, "executed").stderr


def test_without_an_address_there_is_no_branch_and_no_map(tree):
    tool(tree, "address", ADDRESS="")
    assert "no public address" in tool(tree, "notebooks").stderr
    assert "NO SITEMAP" in tool(tree, "sitemap").stdout


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers /404 with 404, and so on."""

    def do_GET(self):
        self.send_response(int(self.path[1:]))
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_a_link_that_leads_nowhere_is_named(tree, server):
    (tree / "_toc.yml").write_text("format: jb-book\nroot: book/errata\n")
    links = [f"<{server}/{answer}>" for answer in (200, 403, 404)]
    (tree / "book/errata.md").write_text("# Links\n\n" + "\n".join(links))
    assert tool(tree, "links", NO_PROXY="127.0.0.1").returncode == 1
    failed = (tree / "_build/failed.txt").read_text()
    assert f"book/errata.md:3: {server}/404" in failed and len(failed.splitlines()) == 1

    (tree / "book/errata.md").write_text("# Links\n\n<http://127.0.0.1:1/>")
    assert "LINKS NOT CHECKED" in tool(tree, "links", NO_PROXY="127.0.0.1").stdout
    assert tool(tree, "links", NO_PROXY="127.0.0.1", REQUIRE_NETWORK="1").returncode == 1


@pytest.mark.slow
def test_every_notebook_runs_in_an_image_that_can_be_had(tree):
    commit(tree)
    (tree / "docker").write_text(
        '#!/bin/sh\nfor last; do :; done; echo "$last"; test "$last" != "$BAD"\n'
    )
    (tree / "docker").chmod(0o755)
    names = [path.name for path in notebooks.notebooks() + notebooks.handouts()]
    path = f"{tree}:{os.environ['PATH']}"
    none, one, no_image = (
        tool(tree, "colab-image", PATH=path, BAD=bad) for bad in ("", names[1], publish.IMAGE)
    )
    assert (none.returncode, one.returncode, no_image.returncode) == (0, 1, 0)
    assert set(names) <= set(none.stdout.split()) and set(names) <= set(one.stdout.split())
    assert f"publish: {names[1]} fails" in one.stdout
    assert "NO NOTEBOOK WAS RUN" in no_image.stdout


def steps(path):
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        yield from job["steps"]


CHECKS = {
    "a job without a machine": "jobs: {a: {steps: [{run: make test}]}}",
    "a title that runs as a command": "jobs: {a: {runs-on: ubuntu-latest, steps: "
    "[{run: 'echo ${{ github.event.issue.title }}'}]}}",
    "nothing": "jobs: {a: {runs-on: ubuntu-latest, steps: [{run: make test}]}}",
}


@pytest.mark.parametrize("fault", CHECKS)
def test_a_fault_in_a_workflow_is_noticed(tmp_path, fault):
    """By the commands that make test runs over the workflows."""
    path = tmp_path / ".github/workflows/a.yml"
    path.parent.mkdir(parents=True)
    path.write_text(f"on: issues\nname: a\npermissions: {{}}\n{CHECKS[fault]}\n")
    recipe = (ROOT / "Makefile").read_text()
    form = re.search(r"CHECK_FORM := \$\(PY\) (.+)", recipe)[1]
    linter = re.search(r"\.venv/bin/(zizmor .+) \.github\n", recipe)[1]
    commands = [f"{form}.github-workflows", linter]
    folder = os.path.dirname(sys.executable)
    runs = [
        subprocess.run([f"{folder}/{program}", *options, str(path)], capture_output=True)
        for program, *options in (f"python {commands[0]}".split(), commands[1].split())
    ]
    assert [run.returncode != 0 for run in runs] == {
        "a job without a machine": [True, True],
        "a title that runs as a command": [False, True],
        "nothing": [False, False],
    }[fault]


def test_there_are_workflows():
    assert {path.stem for path in WORKFLOWS} == {"ci", "deploy", "weekly"}


@each_workflow
def test_a_workflow_runs_make_targets_and_nothing_else(path):
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    runs = [step["run"] for step in steps(path) if "run" in step]
    assert runs and {run for run in runs if not re.fullmatch(r"make [\w-]+", run)} == set()
    assert {run.removeprefix("make ") for run in runs} <= targets


def test_ci_runs_what_the_script_runs():
    script = (ROOT / ".ci/run").read_text()
    runs = [step["run"] for step in steps(ROOT / ".github/workflows/ci.yml") if "run" in step]
    assert runs == re.findall(r"^make .+$", script, re.MULTILINE)


@each_workflow
def test_a_workflow_may_do_no_more_than_it_needs(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"].get("contents") == "read" and "group" in workflow["concurrency"]
    for step in steps(path):
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/none@v1"))


def test_the_deployment_takes_the_address_of_its_repository():
    first = [step for step in steps(ROOT / ".github/workflows/deploy.yml") if "run" in step]
    assert first[0]["run"] == "make address"
    assert first[0]["env"] == {"ADDRESS": "${{ github.server_url }}/${{ github.repository }}"}
    assert [step["run"] for step in first[1:3]] == ["make clean-book", "make book"]


def test_an_equation_is_reported_by_its_label():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/1-equation.yml").read_text())
    label = next(field for field in form["body"] if field["id"] == "label")
    assert label["validations"]["required"]
    named = ledger.LABEL.findall(label["attributes"]["description"])
    assert named and set(named) <= {e for c in ledger.chapters() for e, _ in c.equations}


def test_hooks_call_what_is_installed_here():
    for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]:
        assert repo["repo"] == "local"
        for hook in repo["hooks"]:
            assert hook["entry"].startswith(".venv/bin/python ") and hook["language"] == "system"


@pytest.mark.parametrize("title", ["Weekly check failed: links", "another"])
def test_a_failed_check_has_one_open_issue(tree, title):
    (tree / "_build").mkdir()
    (tree / "_build/failed.txt").write_text("book/index.md:3: gone")
    (tree / "gh").write_text('#!/bin/sh\necho "$@" >> said\necho "$OPEN"\n')
    (tree / "gh").chmod(0o755)
    env = {"PATH": f"{tree}:{os.environ['PATH']}", "GITHUB_JOB": "links", "GH_TOKEN": ""}
    env |= {"OPEN": json.dumps([{"number": 7, "title": title}])}
    run = [sys.executable, "tools/issue.py"]
    subprocess.run(run, cwd=tree, env=os.environ | env, check=True, stdout=-1)
    said = (tree / "said").read_text()
    assert "book/index.md:3: gone" in said
    assert ("issue create" in said) == (title == "another") != ("issue comment 7" in said)


def test_an_issue_that_cannot_be_opened_is_shown(tree):
    env = {name: value for name, value in os.environ.items() if name != "GH_TOKEN"}
    run = [sys.executable, "tools/issue.py"]
    said = subprocess.run(run, cwd=tree, env=env, text=True, capture_output=True)
    assert said.returncode == 1 and "NOT OPENED" in said.stderr
