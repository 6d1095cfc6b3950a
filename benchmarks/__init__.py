"""Measurements that anyone can repeat; ratios within one run count, absolute figures do not."""
