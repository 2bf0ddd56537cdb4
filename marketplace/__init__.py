"""A marketplace that never was: the world outside the landing door, whose truth is known.

It hands over deliveries in the landing contract's names, and keeps beside them what no shop knows: what products could
have sold, what a coupon really changed. Estimates are judged by it, so nothing that estimates may import
``marketplace.truth`` or read its folder (docs/decisions/0005-the-marketplace-is-a-room.md).
"""
