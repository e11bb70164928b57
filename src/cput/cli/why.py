"""``cput why``: why a call was answered as it was, what each leg cost, and what became of it."""

import contextlib
import json
import re
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from cput.cli.why_card import card, said
from cput.ledger.grounds import find_call_id, read_call, read_grounds
from cput.ledger.store import Ledger

_RESPONSE = re.compile(r"^(chatcmpl-|cmpl-|msg_|resp_|embd-)")


def why(
    call: str,
    *,
    ledger: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Say why a call was answered as it was: who could have been asked, scores, thresholds, attempts and outcomes.

    Parameters
    ----------
    call: str
        The call's id, or a response's (chatcmpl-...), or the beginning of one.
    ledger: str
        A file or postgresql://user@host/database; else CPUT_LEDGER, or a file in the user's data folder.
    as_json: bool
        Print JSON.
    """
    with contextlib.closing(Ledger.open(ledger)) as book:
        call_id = find_call_id(book, _RESPONSE.sub("", call.strip()))
        record, grounds = read_call(book, call_id), read_grounds(book, call_id)
    if as_json:
        print(json.dumps(said(call_id, grounds, record)))
    else:
        Console(highlight=False).print(card(call_id, grounds, record))
