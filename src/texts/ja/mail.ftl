# 申請に関するメール。件名と本文があり、リンクは独立した行に置く。

mail-code-subject = { $subject } の管理者であることを確認するコード
mail-code-text =
    ブロックリスト { $site } に対し、{ $subject } の削除の申請がありました。申請者は、このアドレスの管理者であると述べています。

    その通りであれば、次のページを開いてボタンを押してください。リンクは24時間有効で、一度だけ使えます。

    { $link }

    心当たりがない場合は、何もしないでください。このコードがなければ何も起こりません。

mail-confirm-subject = 申請 { $number } のメールアドレスの確認
mail-confirm-text =
    { $site } での { $subject } の削除の申請について、このアドレスが通知先に指定されました。

    通知を受け取るには、次のページを開いてボタンを押してください。リンクは24時間有効です。

    { $link }

    指定した覚えがない場合は、何もしないでください。以後この件のメールは届きません。

mail-answer-subject = { $subject } の削除の申請
mail-answer-text =
    お送りいただいたメールにより、{ $subject } の削除の申請 { $number } を受け付けました。

    次のページで、状況と次にできることを確認できます。このリンクは申請を開く唯一の手段ですので、他人に渡さないでください。

    { $link }

mail-change-subject = { $subject }：{ $change }
mail-change-text =
    { $what }

    詳細と次にできることは、申請 { $number } のページに表示されます。

    { $link }

mail-footer =
    --{" "}
    申請 { $number }（{ $site }）
    この件のメールを停止するには、次のページを開いてボタンを押してください。
    { $unsubscribe }

mail-granted = 削除されました
mail-granted-what = { $subject } はリストから削除されました。登録を記憶しているメールサーバーにも、数分以内に反映されます。
mail-failed = テストメールが配送されました
mail-failed-what = { $subject } のテストでメールが配送されたため、登録は継続されます。設定を修正してから、再テストしてください。
mail-blocked = テスト用サーバーが拒否されました
mail-blocked-what = { $subject } がテスト用サーバーを拒否したため、第三者のメールを配送するかどうか確認できません。当面は登録が継続されます。
mail-waiting = 待機期間
mail-waiting-what = { $subject } はテストでは判定できませんでした。テストメールが届かなければ、待機期間の終了時に削除されます。
mail-delayed = 後日削除されます
mail-delayed-what = 以前の削除の後に再び登録されたため、{ $subject } の削除は後日になります。
mail-review = 担当者が判断します
mail-review-what = { $subject } については担当者が判断します。2日以内に回答し、7日以内に決定します。
mail-suspended = 決定まで公開を停止しました
mail-suspended-what = { $subject } について期限までに判断できなかったため、担当者が決定するまで登録の公開を停止します。
mail-refused = 申請は認められませんでした
mail-refused-what = { $subject } の削除の申請は認められませんでした。
mail-ended = 登録は終了しました
mail-ended-what = { $subject } は、申請の対象となった理由ではもう登録されていません。
mail-reply = 回答があります
mail-reply-what = { $subject } の申請に運営者が回答しました。
mail-listed-again = 再び登録されました
mail-listed-again-what = { $subject } は再び登録されています。
