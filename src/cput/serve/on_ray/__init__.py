"""The same door on Ray Serve: gateway replicas, engine replicas, as many as the load asks for.

Nothing outside this package imports Ray, and this package is imported only where ``--on ray`` asks for it.

    plan       what is asked of Ray: how many of what            (no Ray in it)
    autoscale  the policy: calls and tokens under way -> replicas (no Ray in it)
    engine     an engine whose work is done by engine replicas
    engines    an engine replica
    gateway    a gateway replica: the ASGI application of a door
    counters   the counters of all gateway replicas on one page
    cluster    a local Ray of our own, or the cluster that there is
    run        deploys, waits, drains, takes down
"""
