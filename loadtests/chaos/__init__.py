"""
Faults on purpose: a fault proxy, a nemesis, clients with histories, and checkers that judge them.

`make chaos` runs rounds of it; `make sabotage` shows that each safeguard is missed when it is gone.
"""
