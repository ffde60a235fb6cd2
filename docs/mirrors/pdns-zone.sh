# Once, before the server starts.
pdnsutil import-tsig-key mirror hmac-sha256 Y2hhbmdlIG1lOiBtYWtlIG9uZSB3aXRoIG9yYnNkIGs=

# One such block for each zone.
pdnsutil create-secondary-zone relays.orbs.example 192.0.2.1:53
pdnsutil activate-tsig-key relays.orbs.example mirror secondary
