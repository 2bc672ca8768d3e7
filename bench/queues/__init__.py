"""Loads of jobs, ours.

Answers for: who puts them, a worker in a process of its own, steps of handlers, and
stores in which much waits.
Always holds: a load is given a target, which is a path or a URL, so that it runs on
either engine; what it says was done is counted in the store before it says so.
"""
