# One such block for each zone.
pdnsutil create-secondary-zone relays.orbs.example 192.0.2.1:53
pdnsutil import-tsig-key mirror hmac-sha256 Y2hhbmdlIG1lOiBtYWtlIG9uZSB3aXRoIG9yYnNkIGs=
pdnsutil activate-tsig-key relays.orbs.example mirror secondary
pdnsutil set-meta relays.orbs.example IXFR 1
