"""Dialects: how a wire format is read into a call, and how an answer is said in it."""
