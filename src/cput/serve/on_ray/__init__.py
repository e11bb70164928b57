"""The same door on Ray Serve: gateway replicas, engine replicas, as many as the load asks for.

Nothing outside this package imports Ray, and this package is imported only where ``--on ray`` asks for it.

    plan       what is asked of Ray: how many of what
    autoscale  calls and tokens under way -> engine replicas
    engines    an engine replica
    parts      what it sends
    engine     an engine whose work is done by engine replicas
    gateway    a gateway replica: a door and its ledger
    whole      its application, whose requests Ray does not tear apart
    counters   the counters of all gateway replicas on one page
    cluster    a local Ray of our own, or the cluster that there is
    run        deploys, waits, drains, takes down
"""
