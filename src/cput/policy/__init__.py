"""Policies: who answers a call, how often, and when to give up.

Wrappers are engines, so they stack::

Persistent(Abandoned(Metered(engine, ledger), hopeless), useful, attempts=3)
"""

from cput.policy.abandon import Abandoned, Hopeless
from cput.policy.file import load_policy, save_policy
from cput.policy.loops import repeats_itself
from cput.policy.persist import Persistent
from cput.policy.policy import Policy

__all__ = ["Abandoned", "Hopeless", "Persistent", "Policy", "load_policy", "repeats_itself", "save_policy"]
