# Texts that all pages have.

listed = gelistet
