"""What plugin authors test with.  Never imported by the rest of autoposter."""
