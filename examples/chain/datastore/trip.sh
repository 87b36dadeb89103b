#!/bin/sh
# The round trip to the other end of the chain.
ping -n -c 5 -i 0.2 "$1" | sed -n 's|^rtt.*= [0-9.]*/\([0-9.]*\)/.*|RESULT rtt_ms \1|p'
