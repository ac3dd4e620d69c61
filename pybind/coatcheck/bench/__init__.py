"""
Comparisons with other software, for whoever wants to see our claims of speed.

    python -m coatcheck.bench codec     our codec against others, and documents
    python -m coatcheck.bench redis     the path to Redis beside other clients

Machines differ and are shared, so nothing here is an absolute time: everything is the ratio of two
times from one run in which the contenders take turns.
"""
