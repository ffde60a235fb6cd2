# アドレスの保有者が依頼するテストと、統計。

footer-test = サーバーをテストする

selftest-title = 自分のメールサーバーをテストする
selftest-lead = 第三者がメールの配送を頼んだとき、サーバーがどう動くかを確認できます。{ $count } 種類のテストメールを送り、結果ごとにセッションと直し方を示します。このテストで登録されることはありません。
selftest-off = このサーバーは現在ホストのテストを行っていません。
selftest-field = メールサーバーのアドレス
selftest-hint = 192.0.2.1 のような IP アドレス。保有者であることの示し方は次のページで説明します。
selftest-own = あなたのアドレスは { $address } です。
selftest-own-known = このアドレスは登録または通報されているため、テストはすぐに始まります。
selftest-repeat = 繰り返し
selftest-repeat-never = 一回だけ
selftest-repeat-days = { $count } 日ごと
selftest-repeat-hint = 次のページでメールアドレスを登録すると、結果が変わったときにお知らせします。アドレスの保有者であることを示した人は誰でも終了できます。
selftest-submit = テストする
selftest-rules = テストの内容
selftest-rule-proof = DNS レコードか postmaster 宛てのメールで、アドレスの保有者であることを示してください。アドレスからの要求だけで足りるのは、登録または通報されている場合だけです。そうでなければ、借り手や VPN の利用者が他人のアドレスをテストできてしまいます。
selftest-rule-limits = 一つのアドレスにつき一時間に一回、一日に三回まで。一つのゾーンの証明では一日に十アドレスまで。
selftest-rule-result = 種類ごとに、メールが配送されたかどうかを示します。テストはサーバーに間違いがないことを示すものではありません。
selftest-rule-lists = テストによって登録も削除もされません。テスト拒否の申し出は守られ、古いサーバーを停止させた種類は送りません。
selftest-rule-own = 自分のネットワーク内のサーバーは、その場で orbsd relay probe を実行してテストできます。

ticket-test-title = { $subject } のテスト
test-state-needs-proof = { $subject } の保有者であることを示してください
test-state-needs-proof-text = 下の方法から一つ選んでください。確認でき次第、テストが始まります。
test-state-delayed = { $subject } は後でテストされます
test-state-delayed-text = 上限に達しています。一時間に一回、一日に三回、一つのゾーンでは一日に十アドレスまでです。
test-state-testing = { $subject } をテストしています
test-state-testing-text = 結果は届いたものから下に表示されます。
test-state-blocked = { $subject } はテスト用サーバーを拒否しました
test-state-blocked-text = 宛先を告げる前に拒否されたため、他の送信者については何も分かりません。テスト用サーバーの接続を許可してから、もう一度テストしてください。
test-state-failed = { $subject } は第三者のメールを配送しました
test-state-failed-text = テストメールが少なくとも一通配送されました。下に印を付け、直し方を示しています。このテストで登録されたものはありません。
test-state-tested = { $subject } はテストメールを配送しませんでした
test-state-tested-text = このテストのメールはまだ一通も配送されていません。受け付けられたメールは 14 日間は届く可能性があり、その場合はこのページに表示されます。
test-state-withdrawn = このテストは終了しました
test-state-withdrawn-text = いつでも新しいテストを依頼できます。
step-test-failed = メールが配送されました
step-test-withdrawn = 終了しました
step-tested = メールは配送されませんでした
test-again = もう一度テストする
test-again-at = 次のテストが可能になる時刻: { $time }
test-transcript = セッション全体を読む
test-repetition = 繰り返し
test-repetition-on = アドレスの保有者の同意により、{ $until } まで { $count } 日ごとにテストを繰り返します。
test-repetition-end = 繰り返しを終了する
test-repetition-start = { $count } 日ごとに繰り返す
test-repetition-text = 下でメールアドレスを確認すると、結果が変わったときにお知らせします。アドレスの保有者であることを示した人は誰でも終了できます。

mail-test-failed = テストメールが配送されました
mail-test-failed-what = ご依頼のテストで、{ $subject } がテストメールを配送しました。このテストで登録されたものはありません。どの種類か、どう直すかはページに示しています。
mail-test-blocked = テスト用サーバーが拒否されました
mail-test-blocked-what = ご依頼のテストで、{ $subject } がテスト用サーバーを拒否しました。他の送信者については何も分かりません。
mail-test-tested = テストメールは配送されませんでした
mail-test-tested-what = ご依頼のテストで、{ $subject } はメールを一通も配送しませんでした。
mail-test-delayed = テストは後で行われます
mail-test-delayed-what = 一日の上限に達したため、{ $subject } のテストは後で始まります。

footer-survey = 統計
survey-title = 統計
survey-lead = 月ごとのテスト結果を、メールの種類とサーバーの系統ごとに示します。テストは証拠があるか保有者が望む場合にだけ行うため、すべてのメールサーバーの姿ではありません。アドレスは含みません。
survey-none = 終了したテストはまだありません。
survey-total = { $tested } 件のテストのうち { $delivered } 件でメールが配送されました
survey-classes = メールの種類別
survey-families = メールサーバー別
survey-name = 種類
survey-family = 系統
survey-tested = テスト
survey-delivered = 配送
survey-other = その他
survey-unknown = 不明

trace-heading = このメールは { $subject } から渡されました
trace-unknown = ヘッダーからは、どのホストがメールを渡したか分かりません
trace-text = 「Received」行のうち確かなのは、ご自身のサーバーが書いたものだけです。これはそのサーバーにメールを渡したホストです。その行より下はすべて送信者が偽造できます。
trace-chain = メールの経路 (新しい順)
trace-own = ご自身のサーバーが書いた行
trace-handed = ここで渡されました
trace-unproved = 未確認: 送信者が書いた可能性があります
trace-private = メールの内容は保存しません。
trace-own-field = ご自身のサーバー
trace-own-hint = あなたにメールを転送するサーバーのアドレスまたは範囲を空白で区切って入力してください。それらの行はご自身のものとみなします。
trace-again = もう一度たどる
test-contact-text = 結果が変わったときにだけお知らせします。
test-confirm-text = { $subject } のテストについてのお知らせをこのアドレスに送ります。

mail-test-code-text =
    { $subject } が第三者のメールを配送するかどうかのテストが { $site } に依頼されました。依頼者は、このアドレスの責任者であると述べています。テストによって登録されることはありません。

    そのとおりであれば、次のページを開いてボタンを押してください。リンクは 24 時間有効で、一度だけ使えます:

    { $link }

    心当たりがなければ、何もしないでください。このコードがなければ何も起こりません。

mail-test-confirm-text =
    { $site } での { $subject } のテストについてのお知らせ先として、このアドレスが登録されました。

    受け取るには、次のページを開いてボタンを押してください。リンクは 24 時間有効です:

    { $link }

    登録した覚えがなければ、何もしないでください。この件のメールは今後届きません。
