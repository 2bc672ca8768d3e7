"""Search: full text over every kind that has text.

`words` knows what a word is, `texts` what people wrote in a value, `query` what was
asked for; `index` is the derived index, `finding` what is found by it, and `hits` how
that is shown.
"""
