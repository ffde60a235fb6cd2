# Texts that all pages have.

listed = listed
