"""Safeguards taken out of the code of a process: each function removes one.  Those in SQL are removed as texts."""

from __future__ import annotations
