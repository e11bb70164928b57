"""The gateway: an OpenAI-compatible door that meters every token and gets out of the way.

serving = Serving(Stack(engine_for=lambda model: metered, close=engine.aclose))
door = Door(ledger=ledger, models={"smollm2": Model(serving=serving, takes=Takes.TEXT)})
app = application(door)              # ASGI: uvicorn, Ray Serve
"""
