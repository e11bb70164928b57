"""What is asked of Ray: how many replicas of what, and where. Checked before Ray is started."""

from dataclasses import dataclass

from cput.errors import InputError
from cput.ledger.address import Server, address

APP = "cput"
"""Name of the application in Ray Serve; a configuration file of Ray Serve may give it another one."""
GATEWAY, ENGINES = "gateway", "engines"
"""Names of its deployments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How an application is spread over a Ray cluster. Picklable: every replica gets it."""

    replicas: int = 2
    """Gateway replicas; the least, where ``max_replicas`` says more."""
    max_replicas: int | None = None
    """Most gateway replicas; None scales nothing."""
    engine_replicas: int = 1
    """Replicas of the embedded engine; the least, where ``max_engine_replicas`` says more."""
    max_engine_replicas: int | None = None
    """Most engine replicas; None scales nothing."""
    gateway_cpus: float = 0.25
    """CPUs that Ray sets aside for a gateway replica; a bookkeeping figure, not a bound."""
    engine_cpus: float = 1.0
    """CPUs that Ray sets aside for an engine replica."""
    calls_per_gateway: int = 64
    """Calls under way at which a gateway replica is as busy as it should be."""
    tokens_per_engine: int = 16384
    """Tokens still to be worked off at which an engine replica is as busy as it should be."""
    haproxy: bool = False
    """Whether Ray's HAProxy stands in front of the gateway replicas, in place of Ray's own proxy."""
    address: str | None = None
    """A Ray cluster that runs already (``auto``, or host:port); None starts a local one."""

    def __post_init__(self) -> None:
        """Refuse what can't be."""
        for option, least, most in (
            ("replicas", self.replicas, self.max_replicas),
            ("engine-replicas", self.engine_replicas, self.max_engine_replicas),
        ):
            if least < 1:
                raise InputError(f"--{option} is {least}; allowed: 1 or more")
            if most is not None and most < least:
                raise InputError(f"--max-{option} is {most}; allowed: --{option} ({least}) or more")
        for option, cpus in (("gateway-cpus", self.gateway_cpus), ("engine-cpus", self.engine_cpus)):
            if not 0 < cpus <= 1024:
                raise InputError(f"--{option} is {cpus:g}; allowed: more than 0, up to 1024")
        for option, load in (
            ("calls-per-gateway", self.calls_per_gateway),
            ("tokens-per-engine", self.tokens_per_engine),
        ):
            if load < 1:
                raise InputError(f"--{option} is {load}; allowed: 1 or more")

    @property
    def most_cpus(self) -> float:
        """CPUs that Ray has to have to run everything at its most."""
        gateways = (self.max_replicas or self.replicas) * self.gateway_cpus
        return gateways + (self.max_engine_replicas or self.engine_replicas) * self.engine_cpus


def refuse_file(ledger: str | None, nodes: int) -> None:
    """Refuse a ledger in a file where several machines would each write one of their own.

    Raises:
        InputError: the ledger is a file and the cluster has more than one node.
    """
    where = address(ledger)
    if nodes > 1 and not isinstance(where, Server):
        raise InputError(
            f"the ledger is the file {where}, and this Ray cluster has {nodes} nodes: a file is shared by the "
            "processes of one machine only; give --ledger postgresql://user@host/database"
        )
