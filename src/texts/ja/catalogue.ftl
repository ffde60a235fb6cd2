# 中継テストのページと、ほかのテストの結果が異なる理由。

tests-title = リレーテスト
tests-lead = メールサーバーが第三者のメールを中継するかどうかを調べるため、私たち自身に宛てたメールを送ります。1 通でも届けば、そのサーバーはオープンリレーです。250 という応答だけでは登録しません。
tests-english = 各テストについての説明は今のところ英語だけです。
tests-off = このサーバーはインターネット上のホストをテストしません。
tests-rules = テストの規則
tests-rule-provocation = 理由なくホストをテストすることはありません。理由とは、そのホストからのメール、または所有者の依頼です。ネットワークを走査することは決してありません。
tests-rule-pace = セッションは一度に 1 つで、間を置きます。所有者の申し出を除き、同じホストを 24 時間に 2 回以上テストしません。
tests-rule-harm = パスワードを試したり、アドレスを推測したりしません。過去にテストで障害を起こした製品には、そのテストを送りません。
tests-rule-own = どのメールにも、誰がなぜテストするのか、テストを断る方法が書いてあります。宛先はすべて私たちのサーバーです。
tests-rule-opt-out = いつでも{ $opt-out }ことができます。
opt-out-link = テストを断る
tests-catalogue = テストのメール
tests-catalogue-hint = { $count ->
   *[other] { $count } 種類
 }のエンベロープです。過去数十年のオープンリレーが配送したものです。閉じたサーバーはすべて拒否します。
tests-since = 知られている年
tests-not-run = このサーバーは送りません
tests-placeholders = 波括弧の中: u は私たちの受信者、d は私たちのドメイン、s は私たちの送信者、e は私たちの別のドメイン、R はテスト対象のサーバーの名前、L はそのサーバーが受け持つドメイン、I はそのアドレスです。
tests-contact = テストについての連絡先
tests-tries = 何を試すか
tests-delivered-by = 配送したことのあるバージョンを持つサーバー
tests-delivered-by-more = { $count ->
   *[other] ほか { $count } 件
 }
tests-delivered-by-none = これを配送した製品は知られていません。
tests-testers = これを送るほかのテスト
tests-tester-number = { $tester } ({ $number } 番)
tests-swaks = swaks で自分で送る
tests-swaks-none = この形は swaks では送れません。
tests-swaks-hint = swaks のコマンドを実行する前に: mail.example.com (192.0.2.25) はあなたのサーバーで、example.com を受け持ちます。you@example.net は別の事業者にあるあなたのメールボックスで、その事業者のサーバーは 198.51.100.9 です。example.org はあなたの別のドメインです。すべて置き換えてください。届いたメールだけを配送されたものと数えます。
tests-others-closed = ほかのテストではなぜ閉じていると言われるのですか。
tests-others-closed-text = サーバーが私たちのメールを配送していても、ほかのテストは閉じていると報告することがあります。サーバーは形ごとに受け入れるか拒否するかを決め、同じ形を送るテストは 2 つとありません。応答だけで判断するもの、別のアドレスを調べるもの、配送される形の手前で止まるものも多くあります。
tests-others-open = ほかのテストではなぜ開いていると言われるのですか。
tests-others-open-text = 250 の応答を配送とみなすテストは、どの受信者も受け入れたあとでメールを破棄または返送するサーバーを、開いていると報告します。ここでは、私たちのメールを 1 通も配送しなかったサーバーは登録されません。
tests-others-works = 動作
tests-others-answer = 結果が異なる理由
