# 申請に関するメール。件名と本文があり、リンクは独立した行に置く。

mail-code-subject = { $subject } の管理者であることを証明するコード
mail-code-text =
    ブロックリスト { $site } に対し、{ $subject } の掲載解除の申請がありました。申請者は管理責任者であると述べています。

    その通りであれば、次のページを開いてボタンを押してください。リンクは24時間有効で、一度だけ使えます。

    { $link }

    心当たりがなければ、何もしないでください。このコードがなければ何も起こりません。

mail-confirm-subject = 申請 { $number } のメールアドレスの確認
mail-confirm-text =
    { $site } での { $subject } の掲載解除の申請について、このアドレスが通知先に指定されました。

    通知を受け取るには、次のページを開いてボタンを押してください。リンクは24時間有効です。

    { $link }

    指定していない場合は、何もしないでください。以後この件のメールは届きません。

mail-answer-subject = { $subject } の掲載解除の申請
mail-answer-text =
    お送りいただいたメールにより、{ $subject } の掲載解除の申請 { $number } を受け付けました。

    次のページで状況と次にできることを確認できます。このリンクは申請を開く唯一の鍵ですので、他人に渡さないでください。

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

mail-granted = 掲載解除
mail-granted-what = { $subject } の掲載を解除しました。掲載を記憶しているメールサーバーも、数分以内に忘れます。
mail-failed = テストの結果は不合格
mail-failed-what = { $subject } のテストでメールが中継されたため、掲載は続きます。中継を閉じてから、もう一度テストしてください。
mail-blocked = テストが拒否されました
mail-blocked-what = { $subject } がテストを拒否したため、中継するかどうか分かりません。当面は掲載が続きます。
mail-waiting = 待機期間
mail-waiting-what = { $subject } のテスト結果は確定しませんでした。テストメールが届かなければ、待機期間の終わりに掲載を解除します。
mail-delayed = 後日の掲載解除
mail-delayed-what = 以前の解除の後に再び掲載されたため、{ $subject } の解除は後日になります。
mail-review = 担当者が判断します
mail-review-what = { $subject } については担当者が判断します。二日以内に返答し、七日以内に決定します。
mail-suspended = 決定まで公開を停止
mail-suspended-what = { $subject } について期限内に決定がなかったため、担当者が決定するまで公開を停止します。
mail-refused = 申請は却下されました
mail-refused-what = { $subject } の掲載解除の申請は却下されました。
mail-ended = 掲載は終了しました
mail-ended-what = { $subject } は、申請の理由ではもう掲載されていません。
mail-reply = 返信があります
mail-reply-what = { $subject } の申請に担当者が返信しました。
mail-listed-again = 再び掲載されました
mail-listed-again-what = { $subject } は再び掲載されています。
