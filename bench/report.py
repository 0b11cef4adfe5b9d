"""Turns measurements into a page: the table, the goals, and where minidiff loses."""

from typing import Any

OURS = "minidiff"


def number(value: float) -> str:
    """Writes a number with three digits or so: more than that is never measured here."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def best(row: dict[str, Any]) -> str:
    """Returns the library with the best median of a row."""
    sign = -1 if row.get("higher") else 1
    return min(row["cells"], key=lambda name: sign * row["cells"][name]["median"])


def apart(row: dict[str, Any], one: str, other: str) -> bool:
    """Says whether the middle halves of two cells do not overlap."""
    a, b = row["cells"][one], row["cells"][other]
    return bool(a["q3"] < b["q1"] or b["q3"] < a["q1"])


def cell(row: dict[str, Any], name: str) -> str:
    """Returns one cell: median and quartiles, the best of the row in bold."""
    if name not in row["cells"]:
        return ""
    value = row["cells"][name]
    digits = (lambda x: f"{x:.3f}") if row["unit"] == "ratio" else number
    median = digits(value["median"])
    median = f"**{median}**" if name == best(row) else median
    return f"{median} ({digits(value['q1'])}–{digits(value['q3'])})"


def table(rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    """Returns the lines of the table."""
    lines = ["| | unit | better | " + " | ".join(names) + " |"]
    lines.append("|---|---|---|" + "---|" * len(names))
    for row in rows:
        better = "higher" if row.get("higher") else "lower"
        cells = " | ".join(cell(row, name) for name in names)
        lines.append(f"| {row['title']} | {row['unit']} | {better} | {cells} |")
    return lines


def goals(rows: list[dict[str, Any]]) -> list[str]:
    """Returns a line for each goal that is a number: met or missed, and by what."""
    lines = []
    for row in rows:
        if row.get("goal") is not None:
            median = row["cells"][OURS]["median"]
            word = "met" if median <= row["goal"] else "**missed**"
            got = f"{median:.3f}" if row["unit"] == "ratio" else number(median)
            lines.append(f"- {row['title']}: at most {row['goal']:g}; {got}, {word}.")
    return lines or ["- None of these rows has one."]


def losses(rows: list[dict[str, Any]]) -> list[str]:
    """Returns a line for each row in which a peer has the better median."""
    lines = []
    for row in rows:
        first = best(row)
        if first != OURS:
            ours, its = row["cells"][OURS]["median"], row["cells"][first]["median"]
            digits = (lambda x: f"{x:.3f}") if row["unit"] == "ratio" else number
            within = (
                "" if apart(row, OURS, first) else ", within the spread (the quartiles overlap)"
            )
            lines.append(
                f"- {row['title']}: {digits(ours)} against {digits(its)} of {first}{within}."
            )
    return lines or ["- Nowhere: it has the best median in every row."]


def page(results: dict[str, Any]) -> str:
    """Returns results.md."""
    about, rows = results["about"], results["rows"]
    names = list(about["libraries"])
    versions = ", ".join(f"{name} {version}" for name, version in about["libraries"].items())
    lines = ["# What it costs, beside its peers", ""]
    lines += ["Written by `make bench`; how to read it is in `README.md`.", ""]
    if about["quick"]:
        lines += ["**A quick run, to see that everything works. Its figures mean nothing.**", ""]
    lines += [
        f"{versions}; torch {about['torch']}, Python {about['python']}, on a "
        f"{about['machine']} machine, one thread (`torch.set_num_threads(1)`), {about['clock']} "
        f"clock, load average {about['load'][0]:.1f} at the start and {about['load'][1]:.1f} at "
        "the end.",
        "",
        "Median of the rounds (lower and upper quartile); the best of a row is bold.",
        "",
        *table(rows, names),
        "",
    ]
    lines += [f"- {row['title']}: {row['note']}" for row in rows if row.get("note")]
    if "floor" in results:
        q1, median, q3 = map(number, results["floor"])
        lines.append(
            f"- Energy distance x 1000 between points and other points of the same law: {median} "
            f"({q1}–{q3}). What is in there cannot be told from perfect."
        )
    far = ", ".join(f"{n} {v:.1e}" for n, v in results["agreement"].items() if n != OURS)
    lines.append(
        "- The four compute the same: the largest difference of a pixel to minidiff's samples, in "
        f"standard deviations: {far}."
    )
    lines += ["", "## The goals", "", *goals(rows), "", "## Where minidiff loses", ""]
    return "\n".join(lines + losses(rows)) + "\n"
