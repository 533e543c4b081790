"""Hand-written EM side by side with the established libraries.

The three packages below are the folders `models`, `comparisons` and `reports` of the repository;
`docs` comes along, so that what a verdict tells people to read is there.
"""
