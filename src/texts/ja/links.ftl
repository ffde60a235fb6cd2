# リンクのページ。

footer-links = リンク集
links-title = リンク集
links-english = リンク先のページとその説明は今のところ英語だけです。
links-lead = オープンリレーについての他者のページと、他の運営者のリストです。すでに終了したものもありますが、古い文書や設定に名前が残っているため載せています。
links-testers = テスト
links-standards = 標準と推奨
links-history = 歴史
links-help = サーバーについての支援
links-software = ソフトウェア
links-closed = 終了
links-closed-since = { $date } に終了
links-lists = 他の運営者のリスト
links-lists-text = 他の運営者のリストから登録を外すことは、私たちにはできません。その運営者のページでアドレスを調べてください。終了したリストは、応答しないか、すべてを登録済みと答えるため、メールサーバーの設定から外してください。
links-look-up = 検索
links-remove = 登録の解除
