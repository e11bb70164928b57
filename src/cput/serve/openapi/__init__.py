"""What the door says of itself: an OpenAPI 3.1 document at ``/openapi.json``, made from what the dialects decode.

``operations`` is the table (a path, a body, answers, statuses), ``requests`` and ``answers`` have the shapes, and
``document`` puts them together. It names no model and no setting, so that strangers learn nothing of a door by it.
"""
