"""Makes smaller models. Today: weights of fewer bits (``quantize``)."""
