# Texts that all pages have.

listed = 登録されています
