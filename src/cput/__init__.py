"""cput makes every useful token as cheap as it can honestly be.

    CPUT = all money spent on a workload in a window / output tokens of the answers that proved useful

See ``docs/design`` for the words used here and ``cput --help`` for the commands.
"""

from importlib.metadata import version

__version__ = version("cput")
