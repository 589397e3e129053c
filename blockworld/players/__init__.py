"""Scripted players, for recordings: each shows one behaviour. The only part that knows how a policy acts."""
