"""What is drawn: topologies, records, sweeps."""
