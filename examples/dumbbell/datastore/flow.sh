#!/bin/sh
# iperf3 to $1 for $DURATION seconds over $FLOWS connections; its report goes to the archive, the totals to this log.
report=$ARCHIVE/iperf3.json
tries=0
until iperf3 --client "$1" --time "$DURATION" --interval 0.5 --parallel "$FLOWS" --congestion "$CONGESTION" --json >"$report"; do
    tries=$((tries + 1))
    [ $tries -lt 20 ] || { echo "no flow to $1:" >&2; cat "$report" >&2; exit 1; }
    sleep 0.1 # the server may still be starting
done
exec python3 "$DATASTORE/totals.py" "$report"
