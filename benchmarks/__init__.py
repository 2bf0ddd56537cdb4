"""Every figure in README and docs comes from a command here. Times are medians, speeds are ratios of one session."""
