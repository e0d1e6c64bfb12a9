"""A Jinja2 template rendered with many rows."""

import jinja2

CLASS = "on-cpu"
TEMPLATE = jinja2.Template(
    "{% for row in rows %}<tr><td>{{ row.id }}</td><td>{{ row.name|upper }}</td></tr>{% endfor %}"
)
ROWS = [{"id": number, "name": f"name {number}"} for number in range(300_000)]


async def culprit() -> None:
    TEMPLATE.render(rows=ROWS)  # <- here
