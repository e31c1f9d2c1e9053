"""Calls: one avatar that speaks, listens and idles on one output clock, and the ways to reach it."""
