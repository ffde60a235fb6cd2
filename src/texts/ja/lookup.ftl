# アドレスのページ。

copy = コピー
copied = コピーしました

lookup-listed = { $subject } は { $since } から { $zones } に登録されています。理由: { $cause }。
lookup-listed-plainly = { $subject } は { $zones } に登録されています。
lookup-listed-by-source = { $subject } は { $since } から { $zones } に登録されています。理由: 当サイトが採用している他の発行者のリスト「{ $source }」に登録されているため。
lookup-was-listed = { $subject } は現在登録されていません。{ $ended } まで登録されていました。
lookup-not-listed = { $subject } は登録されていません。
lookup-never-listed = { $subject } は登録されていません。過去に登録されたこともありません。
lookup-other-list = { $subject } は登録されていません。エラーメールには別のリスト { $lists } の名前があります。
lookup-zones = { $count }件のリスト
lookup-cover = 登録の対象は { $listed } で、{ $subject } もこれに含まれます。
lookup-everywhere = 当サイトのすべての公開ネームサーバーに、{ $time } から削除が反映されています。
lookup-cache = 受信側のサーバーは、以前の応答を最大{ $duration }記憶していることがあります。
lookup-stale = エラーメールには当サイトのリストの名前がありますが、このアドレスは現在登録されていません。メールを拒否したサーバーが古い応答を記憶しています。まもなく問い合わせ直します。
lookup-again = 別のアドレスを検索する
lookup-field-error = 192.0.2.1 のようなアドレスか example.com のようなドメインを入力するか、エラーメール全体を貼り付けてください。

cause-relay = 第三者のテストメールを配送したため
cause-input = 第三者のテストメールを受け付け、別のサーバーがそれを配送したため
cause-output = オープンリレーが第三者から受け付けたメールを配送しているため
cause-proxy = 第三者の通信を中継しているため
cause-form = 設置されているウェブフォームから、第三者が任意の宛先にメールを送信できるため
cause-unconfirmed = 第三者のメールを配送しているとの報告があったため
cause-spamsource = メールを求めたことのないアドレスにメールを送信したため
cause-dynamic = 動的に割り当てられるアドレス範囲に属し、通常はメールサーバーが置かれないため
cause-netblock = ネットワーク全体が登録されているため
cause-manual = リストの運営者が登録したため
cause-notest = 所有者がテストを希望していないため
cause-spam = 迷惑メールの中で宣伝されているため
cause-other = 「{ $reason }」に該当するため

removal-first-repair = まず原因を解消し、それからボタンを押してください。
removal-how = 修正方法
removal-button-after-retest = 修正しました。再テストする
removal-button-on-request = リストから削除する
removal-button-owner-of-range = 削除を申請する
removal-button-reviewed = 審査を申請する
removal-button-with-last-input = 審査を申請する
removal-button-by-owner = 登録を終了する
removal-button-none = 質問する
removal-after-retest = 同じテストメールをすぐにもう一度送信します。サーバーがすべて拒否すれば、通常3分ほどで削除されます。無料で、アカウントもフォームも必要ありません。
removal-on-request = すぐに削除されます。無料で、アカウントもフォームも必要ありません。原因が残っていると再び登録され、次の削除にはより時間がかかります。
removal-owner-of-range = サーバーでのコマンド、DNSレコード、またはメールで届くコードのいずれかで、管理者であることを示してください。方法は次のページで説明します。確認後に削除されます。
removal-reviewed = この登録については担当者が判断します。2日以内に回答し、7日以内に決定します。無料で、アカウントは必要ありません。
removal-with-last-input = このサーバーがメールを配送しているサーバーが最後の1台まで削除されると、一緒に削除されます。誤りがある場合は審査を申請してください。
removal-by-owner = この登録は所有者の希望によるもので、所有者が終了できます。管理者であることを示すと終了します。
removal-none = この登録を期限前に終了することはできません。下の詳細に記載された時刻に自動的に終了します。
removal-later = 次の削除が可能になる日時: { $time }
removal-open = このアドレスについては、すでに申請があります。ご自身で申請することもできます。テストや削除が重複して行われることはありません。
removal-reasons = 対象: { $reasons }

source-heading = { $source } による登録
source-text = 当サイトは他の発行者のリスト「{ $source }」を採用しています。ここでの削除は当サイトのリストにだけ反映されます。{ $source } に登録が残っている限り、ほかのサーバーはメールを拒否し続けます。そちらにも申請してください。
source-lookup = { $source } で検索する
source-removal = { $source } からの削除

proof-heading = 確認された事実
proof-text = { $time }、{ $subject } が当サイトから受け付けて配送したテストメールを受信しました。送信者も受信者もこのサーバーの利用者ではありません。同じ方法で、誰でもこのサーバーからメールを送信できる状態です。
proof-text-output = { $time }、{ $input } が当サイトから受け付けたテストメールを受信しました。配送したのは { $output } です。送信者も受信者も、どちらのサーバーの利用者でもありません。
proof-test = メールの種類
proof-codes = サーバーの応答
proof-link = 記録の全文を見る
proof-more = ほか{ $count }種類のメール
proof-more-text = 通常のメールは拒否しても、特殊な書き方のアドレス宛てのメールを配送してしまうサーバーがあります。次のメールも配送されました。
inputs-heading = このサーバーがメールを配送しているサーバー
inputs-text = 次のサーバーは第三者からメールを受け付け、このサーバーに渡しています。

repair-heading = 修正方法
repair-relay = 原因はメールサーバーの設定です。誰からでも、どこ宛てのメールでも受け付けています。
repair-input = 原因はこのメールサーバーの設定です。誰からでもメールを受け付け、別のサーバーに渡しています。
repair-relay-1 = ほかのドメイン宛てのメールは、自分のネットワークと、ログインした利用者からだけ受け付けるようにしてください。Postfix では smtpd_relay_restrictions、Exim では RCPT の ACL、Exchange では受信コネクタで設定します。
repair-relay-2 = 外部からのほかのドメイン宛てのメールが、上記の特殊な書き方も含めて、恒久的なエラー (5xx) で拒否されることを確認してください。
repair-restart = 設定を再読み込みするかメールサーバーを再起動してから、ボタンを押してください。
repair-output = 原因は、このサーバーにメールを渡しているサーバーの設定です。
repair-output-1 = 上記の各サーバーを修正してください。
repair-output-2 = または、それらのメールを配送しないようにしてください。
repair-proxy = このコンピューター上のプログラムが、誰からの通信でも中継しています。
repair-proxy-1 = プロキシ (SOCKS、HTTP CONNECT、遠隔操作できるルーター、マルウェアなど) を探し、外部から使えないようにしてください。
repair-proxy-2 = メールサーバー以外からのポート25への通信を遮断してください。
repair-form = このコンピューター上のウェブフォームが、訪問者の指定した任意の宛先にメールを送信しています。
repair-form-1 = フォームの宛先を固定するか、フォームを削除してください。
repair-form-2 = フォームがヘッダーに入れるすべての値から改行を取り除いてください。
repair-spam = 誰も求めていないメールがこのアドレスから送信されました。
repair-spam-1 = 不正に利用されたアカウントやウェブサイト、メールを送信するマルウェアを探し、停止してください。
repair-spam-2 = 悪用されたアカウントのパスワードを変更してください。
repair-spam-3 = メールマガジンの場合は、受信の意思を確認できた人にだけ送信してください。
repair-dynamic = アドレス自体に問題はないと思われますが、逆引き名が家庭用回線のように見えます。
repair-dynamic-1 = プロバイダーの送信サーバーを経由してメールを送信してください。
repair-dynamic-2 = 固定アドレスのメールサーバーの場合は、mail.example.com のような独自の逆引き名で、このアドレスに正引きできるものを、プロバイダーに設定してもらってください。

other-list-heading = 次にすること
other-list-unknown = このリストについて分かるのは名前だけです。メールを拒否したサーバーの管理者にお問い合わせください。
other-list-dead = このリストは終了しています。対応できるのはメールを拒否したサーバーの管理者だけです。このリストの利用をやめるよう依頼してください。
other-list-lookup = { $list } で検索する
other-list-removal = { $list } からの削除

meanings-heading = 拒否されたその他の原因
meanings-other-list = 別のリストに登録されている場合があります。下の欄にエラーメール全体を貼り付けてください。どのリストか、どこで削除を申請できるかをお知らせします。
meanings-other-address = 別のアドレスの場合があります。登録されるのはメールサーバーで、パソコンやスマートフォンではありません。エラーメールに書かれたアドレスを検索してください。
meanings-own-rules = 受信側のサーバー独自の規則による場合があります。変更できるのはその管理者だけです。別のメールアカウントから、そのドメインの postmaster に連絡してください。
meanings-cache = 少し前まで登録されていた場合があります。受信側のサーバーは、以前の応答を最大{ $duration }記憶していることがあります。その後でもう一度送信してください。

bounce-heading = エラーメールの内容
bounce-host = 拒否したサーバー
bounce-zones = 書かれているリスト
bounce-others = エラーメールの中の別のアドレスを調べる場合:

visitor-heading = あなたの状況
visitor-owner = このサーバーを管理している
visitor-owner-text = 上記のとおり原因を解消してから、ボタンを押してください。次のページでは、経過が順に表示され、各公開ネームサーバーに削除が反映された時刻が分かります。お困りの場合はそのページからご連絡ください。担当者が2日以内に回答します。
visitor-sender = メールを送信しただけ
visitor-sender-text = あなたに問題はなく、ご自身で修正することもできません。次の文章をメールサーバーの管理者に送ってください。
visitor-sender-forward = 当方のメールサーバー { $subject } が { $zones } に登録されているため、メールが拒否されています。理由、原因の解消方法、削除の手順 (無料、数分) は次のページにあります: { $url }
visitor-previous = このアドレスを別の人から引き継いだ
visitor-previous-text = この登録は、アドレスの以前の動作によるものです。現在のサーバーが第三者のメールを拒否するのであれば、ボタンを押してください。現在の状態をテストし、以前の利用者の行為は考慮しません。
visitor-previous-other = この登録は、アドレスの以前の動作によるものです。このページの上にあるボタンを使い、次のページで、現在はご自身のアドレスであることをお知らせください。
visitor-receiver = メールを受信する側で、必要なメールがこのリストのために届かない
visitor-receiver-text = 何を拒否するかは受信側のサーバーが決めます。リストを使いながら、特定の送信者だけを通すことができます。登録が誤っている場合はお知らせください。すべての報告を確認します。
visitor-receiver-allow = 特定の送信者だけを通す方法 ({ $zone })
visitor-receiver-report = 誤った登録を報告する: { $contact }

details-heading = 管理者向けの詳細
details-codes = DNSの応答
details-texts = DNSのテキスト
details-reason = 理由「{ $reason }」
details-since = { $time } から
details-until = { $time } に自動的に終了
details-covered = { $listed } の登録による
details-source = { $source } より
details-host-name = 逆引き名
details-confirmed = この名前はこのアドレスに正引きできます。
details-unconfirmed = この名前はこのアドレスに正引きできません。
details-no-host-name = なし
details-network = ネットワーク
details-caches = キャッシュ
details-dig = メールサーバーから見える内容
details-timeline = これまでの経過

event-listed = 登録: { $reason }
event-renewed = 登録の更新: { $reason }
event-removed = 削除: { $reason }
event-expired = 自動的に終了: { $reason }
event-held = 削除を承認、当面は再登録しない: { $reason }
event-exempted = すべてのリストから除外
event-hold-ended = 再登録の制限が終了
