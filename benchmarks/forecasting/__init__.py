"""How good and how fast demand is forecast, beside what everybody can do: one command a question.

Peers run in the same process with the same share of the machine, one after the other at each cutoff, so that whatever
else the machine does troubles all of them.
"""
