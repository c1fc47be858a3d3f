"""
The benchmark: eleven measures, each against a rival taken in the same run (`make bench`).

`contract.py` has the targets and the form of a result; a module per group of measures makes them;
`rig.py` runs the servers, `load.py` the load. docs: loadtests/README.md.
"""
