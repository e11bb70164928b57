"""What a measurement found, for people: a card for the terminal and one self-contained HTML file.

console.print(card(measurement))
write(html(measurement), "cput-reports/ifeval.html")
"""

from cput.report.card import card
from cput.report.comparison import comparison_html
from cput.report.comparison_card import comparison_card
from cput.report.html import html
from cput.report.write import write

__all__ = ["card", "comparison_card", "comparison_html", "html", "write"]
