"""Publishes the book: its public address, the executed notebooks, the map of the site, its links.

python tools/publish.py address      writes $ADDRESS and all that follows from it; with no ADDRESS
                                     in the environment writes that again for the present one
python tools/publish.py executed     writes the notebooks with the outputs of the last make book
python tools/publish.py notebooks    commits those to the branch that the Colab button opens
python tools/publish.py sitemap      lists the rendered pages by their public addresses
python tools/publish.py links        asks every link of the book whether it still leads somewhere
python tools/publish.py colab-image  runs every notebook in Colab's own runtime image
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

import colab
import ledger
import notebooks

ROOT = notebooks.ROOT
CONFIG = ROOT / "_config.yml"
BUILD = ROOT / "_build"
HTML = BUILD / "html"
EXECUTED = BUILD / "executed"
FAILED = BUILD / "failed.txt"  # what tools/issue.py puts into the issue
COLAB = "https://colab.research.google.com/github"
IMAGE = "us-docker.pkg.dev/colab-images/public/runtime"  # what Colab itself runs, 20 GB and more
README_PART = re.compile(r"(?<=<!-- written by make address -->\n).*?(?=<!-- end -->)", re.DOTALL)
IN_IMAGE = """\
git config --global safe.directory '*'  # the mounted clone belongs to somebody else
before=$(python3 -c "$VERSIONS") && python3 -c "$RUN" "$1" &&
after=$(python3 -c "$VERSIONS") && echo "torch, numpy: $after" && test "$before" = "$after"
"""


def warn(text: str) -> None:
    """Says what was not done so that nobody takes it for done, on GitHub as an annotation too."""
    print(("::warning::" if "GITHUB_ACTIONS" in os.environ else "") + text, flush=True)


def pages_address(address: str) -> str:
    """Returns where GitHub Pages shows the book of a repository, empty where there is none."""
    owner, _, name = address.removeprefix("https://github.com/").partition("/")
    return f"https://{owner}.github.io/{name}" if address else ""


def branch() -> str:
    """Returns the branch that the Colab button opens."""
    return str(yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["repository"]["branch"])


def readme_part(address: str) -> str:
    """Returns what README.md says of where the book is."""
    if not address:
        return (
            "The book has no public address yet;\n"
            "`make address ADDRESS=https://github.com/OWNER/NAME` gives it one.\n"
        )
    tree = f"{COLAB}/{address.removeprefix('https://github.com/')}/blob/{branch()}/book"
    links = [f"[{path.stem}]({tree}/{path.name})" for path in notebooks.notebooks()]
    book = f"**[Read the book]({pages_address(address)})**, or run a chapter on Colab:\n"
    return book + ",\n".join(links) + ".\n"


def substitute(path: Path, pattern: str | re.Pattern[str], text: str) -> None:
    """Replaces the one place that the pattern matches; a place that is gone is an error."""
    old = path.read_text(encoding="utf-8")
    new, count = re.subn(pattern, lambda _: text, old)
    if count != 1:
        sys.exit(f"publish: {path.name}: {pattern} is there {count} times")
    path.write_text(new, encoding="utf-8")


def write_address() -> None:
    """Writes the setting, and everything that is filled from it."""
    address = os.environ.get("ADDRESS", notebooks.public_address()).rstrip("/")
    if address and not re.fullmatch(r"https://github\.com/[\w-]+/[\w.-]+", address):
        sys.exit(f"publish: not of the form https://github.com/OWNER/NAME: {address}")
    substitute(CONFIG, r"(?m)(?<=^  url: ).*$", f'"{address}"')
    substitute(CONFIG, r"(?m)(?<=^  baseurl: ).*$", f'"{pages_address(address)}"')
    substitute(CONFIG, r"(?m)(?<=^  use_edit_page_button: ).*$", str(bool(address)).lower())
    substitute(ROOT / "README.md", README_PART, readme_part(address))
    where = f"repository-code: {address}\nurl: {pages_address(address)}\n" if address else ""
    substitute(
        ROOT / "CITATION.cff", r"(?<=\nlicense: MIT\n)(repository-code: .*\nurl: .*\n)?", where
    )
    notebooks.main(check=False)
    print(f"publish: the public address is {address or 'empty'}")


def write_executed() -> None:
    """Writes the notebooks with their outputs, from the results that make book has stored.

    They are executed nowhere else: what a reader sees on Colab is what the strict build checked.
    """
    import executed  # not above: the cache takes a second to import

    if not executed.are_of_these_sources():
        sys.exit("publish: no stored results of these sources: run make book")
    shutil.rmtree(EXECUTED, ignore_errors=True)
    (EXECUTED / "book").mkdir(parents=True)
    results = executed.cache()
    for path in notebooks.notebooks():
        try:
            _, book = results.merge_match_into_file(path)
        except KeyError:
            sys.exit(f"publish: no stored results of {path.name}: run make book")
        text = json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        (EXECUTED / "book" / path.name).write_text(text, encoding="utf-8")
    handouts = EXECUTED / "assignments/release"
    handouts.mkdir(parents=True)
    for path in notebooks.handouts():  # nothing is written in them yet that could be executed
        shutil.copy(path, handouts)
    print(f"publish: {len(notebooks.notebooks())} executed notebooks are in {EXECUTED.as_uri()}")


def git(*command: str, **env: str) -> str:
    """Runs git in the repository and returns what it printed."""
    who = ["-c", "user.name=minidiff", "-c", "user.email=minidiff@example.org"]
    run = ["git", *who, *command]
    return subprocess.run(
        run, cwd=ROOT, env=os.environ | env, check=True, text=True, stdout=subprocess.PIPE
    ).stdout.strip()


def publish_notebooks() -> None:
    """Commits the executed notebooks to their branch, and pushes it where there is an origin.

    One commit without a parent, or each deployment would add megabytes of figures to every clone.
    The checked-out branch, the index and the working tree stay as they are.
    """
    if not notebooks.public_address():
        sys.exit("publish: no public address, so no Colab button: run make address ADDRESS=…")
    target = f"refs/heads/{branch()}"
    if git("rev-parse", "--symbolic-full-name", "HEAD") == target:
        sys.exit(f"publish: {branch()} is checked out, and this would replace it")
    with tempfile.TemporaryDirectory() as scratch:
        own = {"GIT_INDEX_FILE": str(Path(scratch, "index")), "GIT_WORK_TREE": str(EXECUTED)}
        git("-C", str(EXECUTED), "add", "--all", "--force", ".", **own)
        tree = git("write-tree", **own)
    message = f"The notebooks of {git('rev-parse', '--short', 'HEAD')}, with their outputs"
    commit = git("commit-tree", tree, "-m", message)
    git("update-ref", target, commit)
    if "origin" in git("remote").split():
        git("push", "--quiet", "--force", "origin", f"{commit}:{target}")
    else:
        warn(f"publish: NOT PUSHED, no remote named origin; {branch()} is {commit} here")


def write_sitemap() -> None:
    """Writes sitemap.xml beside the rendered pages."""
    address = pages_address(notebooks.public_address())
    if not address:
        warn("publish: NO SITEMAP, the book has no public address")
        return
    found = [page for part in ("book", "assignments") for page in HTML.glob(f"{part}/**/*.html")]
    pages = [page.relative_to(HTML).as_posix() for page in sorted(found)]
    entries = "".join(f"<url><loc>{address}/{page}</loc></url>\n" for page in pages)
    start = '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{start}{entries}</urlset>\n'
    (HTML / "sitemap.xml").write_text(text, encoding="utf-8")
    print(f"publish: sitemap.xml lists {len(pages)} pages")


def failed(lines: list[str]) -> int:
    """Says what failed, here and to tools/issue.py, and returns the exit status."""
    FAILED.parent.mkdir(exist_ok=True)
    FAILED.write_text("\n".join(lines), encoding="utf-8")
    for line in lines:
        print(f"publish: {line}", flush=True)
    return int(bool(lines))


def check_links() -> int:
    """Follows every link of the book, without executing a notebook.

    A host that refuses a robot (403) says nothing of its page, and where no host at all answers
    it is this machine that has no network: that is said, and is an error where REQUIRE_NETWORK is
    set.
    """
    from jupyter_book.sphinx import build_sphinx

    ledger.main(check=False)  # writes the page of the ledger, which the table of contents names
    found = BUILD / "links"
    shutil.rmtree(found, ignore_errors=True)
    options = {"nb_execution_mode": "off", "linkcheck_timeout": 20, "linkcheck_anchors": False}
    options |= {"linkcheck_report_timeouts_as_broken": False, "latex_individualpages": False}
    build_sphinx(
        ROOT,
        found,
        path_config=CONFIG,
        noconfig=True,
        confoverrides=options,
        doctreedir=found / "doctrees",
        builder="linkcheck",
        really_quiet=True,
    )
    lines = (found / "output.json").read_text(encoding="utf-8").splitlines()
    links = [link for link in map(json.loads, lines) if link["uri"].startswith("http")]
    bad = [link for link in links if link["status"] not in ("working", "redirected")]
    if links and len(bad) == len(links):
        warn(f"publish: LINKS NOT CHECKED, none of {len(links)} answered: is there a network?")
        return failed(["no host answered"] if "REQUIRE_NETWORK" in os.environ else [])
    wrong = [link for link in bad if not link["info"].startswith("403")]
    print(f"publish: {len(links)} links, {len(bad) - len(wrong)} of them refused a robot")
    return failed([f"{e['filename']}:{e['lineno']}: {e['uri']}: {e['info'][:150]}" for e in wrong])


def run_in_image() -> int:
    """Runs every notebook in Colab's own image, each in a fresh container and an empty folder.

    As in tools/colab.py, git is told to read the working tree in place of a public address, so
    that what is tested is this tree. An image that cannot be had is said loudly and is no failure.
    """
    if os.environ.get("RUNNER_ENVIRONMENT") == "github-hosted":  # or the image would not fit
        unused = ["/usr/local/lib/android", "/usr/share/dotnet", "/usr/share/swift"]
        subprocess.run(["sudo", "rm", "-rf", *unused], check=False)
    pull = ["docker", "pull", "--quiet", IMAGE]
    if shutil.which("docker") is None or subprocess.run(pull, check=False).returncode:
        warn(f"publish: NO NOTEBOOK WAS RUN IN COLAB'S IMAGE, {IMAGE} could not be pulled")
        return failed([])
    wrong = []
    # What a container writes belongs to root, so that not all of it can be removed afterwards.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        tree = Path(scratch, "clone")
        colab.commit_to(tree)
        env = {"RUN": colab.RUN, "VERSIONS": colab.VERSIONS, "GIT_CONFIG_COUNT": "1"}
        env |= {"GIT_CONFIG_KEY_0": "url.file:///clone.insteadOf"}
        env |= {"GIT_CONFIG_VALUE_0": colab.ADDRESS}
        options = [part for name, value in env.items() for part in ("-e", f"{name}={value}")]
        for path in notebooks.notebooks() + notebooks.handouts():
            empty = Path(scratch, path.stem)
            empty.mkdir()
            book = json.loads(path.read_text(encoding="utf-8"))
            copy = json.dumps(notebooks.with_install_cell(book, colab.ADDRESS))
            (empty / path.name).write_text(copy, encoding="utf-8")
            run = ["docker", "run", "--rm", "-v", f"{tree}:/clone:ro", "-v", f"{empty}:/empty"]
            run += ["-w", "/empty", *options, "--entrypoint", "bash", IMAGE]
            print(f"== colab-image: {path.name}", flush=True)
            run += ["-c", IN_IMAGE, "bash", path.name]
            if subprocess.run(run, check=False).returncode:
                wrong.append(f"{path.name} fails in {IMAGE}")
    return failed(wrong)


COMMANDS: dict[str, Callable[[], int | None]] = {
    "address": write_address,
    "executed": write_executed,
    "notebooks": publish_notebooks,
    "sitemap": write_sitemap,
    "links": check_links,
    "colab-image": run_in_image,
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    sys.exit(COMMANDS[sys.argv[1]]())
