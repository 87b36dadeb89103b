#!/bin/sh
# The round trip to $1, twenty times a second: what it exceeds its minimum by is time spent in the bottleneck's queue.
exec ping -D -n -i 0.05 -w "$DURATION" "$1" >"$ARCHIVE/rtt.txt"
