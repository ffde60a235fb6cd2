# リストについてのページ：ナビゲーションと題名。本文は今のところ英語です。

footer-lists = リストの使い方
footer-policy = 掲載基準
footer-tests = リレーテスト
footer-open-relay = オープンリレーとは
footer-opt-out = テストの拒否
footer-notices = お知らせ
footer-status = 稼働状況
footer-privacy = プライバシー
pages-only-english = このページは今のところ英語のみです。
lists-title = リストの使い方
list-title = { $zone } の使い方
policy-title = 掲載基準
tests-title = リレーテスト
opt-out-title = リレーテストの拒否
open-relay-title = オープンリレーとは
notices-title = お知らせ
status-title = 稼働状況
privacy-title = プライバシー
