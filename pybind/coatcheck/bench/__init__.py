"""
Comparisons with other software, for whoever wants to see our claims of speed.

    python -m coatcheck.bench codec     our codec against others, and documents
    python -m coatcheck.bench redis     the path to Redis beside other clients
    python -m coatcheck.bench requests  what a session adds to a request, beside those of others
    python -m coatcheck.bench session   what sessions cost a Redis server

Machines differ and are shared, so the first three know no absolute time: everything is the ratio of
two times from one run in which the contenders take turns. The last one has nobody beside it; it
says on which machine its figures are true.
"""
