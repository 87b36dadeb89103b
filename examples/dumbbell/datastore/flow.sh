#!/bin/sh
# iperf3 to $1 for $DURATION seconds over $FLOWS connections; its report goes to the archive, the totals to this log.
report=$ARCHIVE/iperf3.json
tries=0
while
    iperf3 --client "$1" --time "$DURATION" --interval 0.5 --parallel "$FLOWS" --congestion "$CONGESTION" --json >"$report"
    error=$(sed -n 's/^\t"error":\t"\(.*\)"/\1/p' "$report") # with --json iperf3 exits with 0 whatever happens
    [ -n "$error" ]
do
    tries=$((tries + 1))
    [ $tries -lt 20 ] || { echo "no flow to $1: $error" >&2; exit 1; }
    sleep 0.1 # the server may still be starting
done
exec python3 "$DATASTORE/totals.py" "$report"
