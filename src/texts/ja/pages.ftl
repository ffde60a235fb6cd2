# リストについてのページ：ナビゲーションと題名。本文は今のところ英語です。

footer-lists = リストの使い方
footer-policy = 登録の基準
footer-tests = リレーテスト
footer-open-relay = オープンリレーとは
footer-opt-out = テストを受けない設定
footer-notices = お知らせ
footer-status = 稼働状況
footer-privacy = プライバシー
pages-only-english = このページは今のところ英語のみです。
lists-title = リストの使い方
list-title = { $zone } の使い方
policy-title = 登録の基準
opt-out-title = リレーテストを受けない設定
open-relay-title = オープンリレーとは
notices-title = お知らせ
status-title = 稼働状況
privacy-title = プライバシー
