"""What people read: a student's feedback, and all written answers of a class."""

import jinja2
from markupsafe import Markup

from grade import Assignment, Record, earned

STYLE = """
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem }
li { margin: .4rem 0 } .why { display: block; opacity: .85 }
blockquote { white-space: pre-wrap; border-left: .25rem solid; padding-left: 1rem; margin-left: 0 }
</style>
"""
FEEDBACK = """<!doctype html><html lang="en"><title>{{ name }}: {{ student }}</title>{{ style }}
<h1>{{ name }}</h1>
<p>{{ student }}: <strong>{{ total }}</strong> of {{ most }} points
{%- if waiting %}; the written part is not marked yet{% endif %}.</p>
{% for question, tests in record.questions.items() %}
<h2>{{ question }}: {{ got[question] | points }} of {{ points[question] | points }}</h2>
<ul>{% for test in tests %}
<li>{{ "✗" if test.failed else "✓" }} {{ test.title }} ({{ test.points | points }})
{%- if test.hidden %}, not shown in the notebook{% endif %}
{%- if test.failed %}<span class="why">{{ test.failed }}</span>{% endif %}</li>{% endfor %}
</ul>
{% endfor %}
{% for question, part in written.items() %}
<h2>{{ question }}: {{ part.mark or "not marked yet," }} of {{ points[question] | points }}</h2>
{% if part.comment %}<p>{{ part.comment }}</p>{% endif %}
<blockquote>{{ record.written or "No answer was found." }}</blockquote>
{% endfor %}
{% if record.notes %}<h2>Noticed</h2>
<ul>{% for note in record.notes %}<li>{{ note }}</li>{% endfor %}</ul>{% endif %}
</html>
"""
WRITTEN = """<!doctype html><html lang="en"><title>{{ name }}: written answers</title>{{ style }}
<h1>{{ name }}: written answers</h1>
<p>Marks go into written.csv, which lies beside this page. For the grader only.</p>
{% for question, part in written.items() %}
<h2>{{ question }}, {{ part.points | points }} points</h2>
<blockquote>{{ part.text }}</blockquote>
<h3>Answer and rubric</h3>
<blockquote>{{ part.answer }}</blockquote>
{% endfor %}
{% for student, text in answers.items() %}
<h3>{{ student }}</h3>
<blockquote>{{ text or "No answer was found." }}</blockquote>
{% endfor %}
</html>
"""

# What students wrote, and what their code said, is text here and never markup.
_PAGES = jinja2.Environment(autoescape=True)
_PAGES.filters["points"] = lambda value: f"{value:g}"


def feedback(
    assignment: Assignment, student: str, record: Record, marks: dict[str, dict[str, str]]
) -> str:
    """Returns a student's page.

    Args:
        assignment: What was asked.
        student: Whose it is.
        record: The marks of the coded part.
        marks: {question: {"mark", "comment"}} of the written part; a mark may be empty.
    """
    got = earned(record)
    hand = [float(part["mark"]) for part in marks.values() if part["mark"]]
    return _PAGES.from_string(FEEDBACK).render(
        style=Markup(STYLE),
        name=assignment.title,
        student=student,
        record=record,
        got=got,
        points=assignment.points,
        total=f"{sum(got.values()) + sum(hand):g}",
        most=f"{sum(assignment.points.values()):g}",
        waiting=len(hand) < len(marks),
        written=marks,
    )


def written(assignment: Assignment, answers: dict[str, str]) -> str:
    """Returns the page with all written answers, below the question and the rubric.

    Args:
        assignment: What was asked.
        answers: {student: what they wrote}.
    """
    return _PAGES.from_string(WRITTEN).render(
        style=Markup(STYLE),
        name=assignment.title,
        written=assignment.written,
        answers=answers,
    )
