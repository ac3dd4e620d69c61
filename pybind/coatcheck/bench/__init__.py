"""
Comparisons with other software, for whoever wants to see our claims of speed.

    python -m coatcheck.bench codec     our codec against others, and documents
    python -m coatcheck.bench redis     the path to Redis beside other clients
    python -m coatcheck.bench requests  what a session adds to a request, beside those of others
    python -m coatcheck.bench session   what sessions cost a Redis server
    python -m coatcheck.bench cache     caches beside other caches
    python -m coatcheck.bench stampede  many clients that want one value of a cache
    python -m coatcheck.bench all       all of these; --record FILE keeps what was found
    python -m coatcheck.bench report PAGE FILE...   makes a page of what was kept

Machines differ and are shared, so most compare by the ratio of two times from one run in which the
contenders take turns. `session` and `stampede` say on which machine their figures are true. No
figure stands without its spread, and who could not be compared is named.
"""
