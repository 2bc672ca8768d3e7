"""How fast the store is: `python -m bench`, from the root of the repository.

Answers for: one run that measures the store, raw apsw and the peers side by side,
and says of each goal whether it is met.
Leaves to others: what the store does (the tests).
Always holds: whatever is compared runs in alternating rounds of the same run, each on
a fresh file of the same disk, and a ratio is the median over the rounds' ratios. The
machine's mood then touches both sides alike.

In reading order: `lines` is what is reported, `rounds` how it is measured, `raw` the
limit, `peers/` the others, and then a file a measure. `million` is the store that
measures of much share. `server` starts the PostgreSQL that everything on it shares, and
`raw_postgres` is the limit there; `partitions` is a run of its own, by hand. `turns/`
is what frameworks have kept of a turn, for `integrations`.
"""
