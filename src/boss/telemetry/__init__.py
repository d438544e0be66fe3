"""What Boss tells of itself: metrics, log lines, traces."""
