"""Questions about cost, answered from the whole ledger: a million calls in about a second.

    answer = costs(ledger, Question(by=("workload", "model"), period="day"))
    for group in answer.groups:
        print(group.key, group.calls, group.cput)

Every call is read once and *folded* into one row of columns (``fold``); a question filters and adds up those columns
(``sums``). The folds are kept in the ledger and brought up to date by whatever has arrived since, late outcomes and
repriced charges included (``kept``). They are derived: without them the same answer comes from the rows, only later.
"""

from cput.ledger.groups import PERIODS
from cput.ledger.query.answer import Costs, Group
from cput.ledger.query.ask import costs
from cput.ledger.query.question import BASES, KEYS, Question

__all__ = ["BASES", "KEYS", "PERIODS", "Costs", "Group", "Question", "costs"]
