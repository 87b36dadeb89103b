#!/bin/sh
# watch.sh NETWORK PROBE GATEWAY OTHER_GATEWAY: sends NETWORK through GATEWAY while PROBE, which lies behind it, answers,
# and through OTHER_GATEWAY while it does not. A routing daemon in ten lines.
network=$1 probe=$2 gateway=$3 other=$4 now=
while :; do
    if ping -n -q -c 1 -W 0.2 "$probe" >/dev/null 2>&1; then next=$gateway; else next=$other; fi
    if [ "$next" != "$now" ]; then
        ip route replace "$network" via "$next" || exit 1
        echo "$(date +%s.%N) $network via $next"
        now=$next
    fi
    sleep 0.1
done
