"""Tool calls: when one is made again, and when an earlier answer is taken instead."""
