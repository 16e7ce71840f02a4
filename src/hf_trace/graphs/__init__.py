"""Causal graphs over events: their files, what is known beforehand, their scores, and what counting alone finds."""
