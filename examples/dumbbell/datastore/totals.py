"""What one iperf3 report comes to, as RESULT lines, which records and sweeps understand."""

import json
import sys
from pathlib import Path

end = json.loads(Path(sys.argv[1]).read_text())["end"]
print(f"RESULT throughput_bps {end['sum_received']['bits_per_second']:.0f}")
print(f"RESULT retransmits {end['sum_sent'].get('retransmits', 0)}")
print(f"RESULT mean_rtt_ms {sum(stream['sender']['mean_rtt'] for stream in end['streams']) / len(end['streams']) / 1000:.2f}")
