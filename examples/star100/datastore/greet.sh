#!/bin/sh
# Asks the next node round the LAN for an answer; prints how long it took.
ping -n -c "$COUNT" -i 0.2 -W 2 "$1" | tee "$ARCHIVE/ping.txt" | sed -n 's|^rtt.*= [0-9.]*/\([0-9.]*\)/.*|RESULT rtt_ms \1|p'
