#!/bin/sh
# Pings $1 twenty times a second for $DURATION seconds and reports how long nothing came through.
ping -D -n -i 0.05 -w "$DURATION" "$1" >"$ARCHIVE/ping.txt"
exec python3 "$DATASTORE/outage.py" "$ARCHIVE/ping.txt"
