# 知識ベースの訂正と、その受付ページ。

correction-hint = どこが誤りで、正しくはどうなのかをお知らせください。アカウントは不要です。人が読み、出典と照らし合わせ、あなただけがアドレスを知るページで回答します。
correction-entry = 対象
correction-entry-all = ページ全体
correction-version = バージョン (任意)
correction-text = どこが誤りで、正しくはどうなのか
correction-source = 出典 (任意)
correction-source-hint = 文書、変更履歴、またはご自分のサーバーで確かめた方法を書いてください。パスワードは書かないでください。
correction-send = 訂正を送る
correction-title = { $product } についての訂正
correction-review = { $product } についての訂正を受け付けました
correction-review-text = 人が読み、出典と照らし合わせます。することは何もありません。回答はこのページに表示されます。
correction-granted = { $product } についての訂正が採用されました
correction-granted-text = ありがとうございます。知識ベースは次の版で変わります。
correction-refused = { $product } についての訂正は採用されませんでした
correction-refused-text = 理由は下の会話にあります。別の出典があれば、もう一度送ることができます。
correction-withdrawn = { $product } についての訂正は取り下げられました
correction-withdrawn-text = 何も変更されていません。いつでも新しい訂正を送ることができます。
correction-step-granted = 採用
correction-step-refused = 不採用
correction-contact-text = 任意です。訂正に変化や回答があったときにお知らせします。メールアドレスは、この依頼とともに消去されます。
correction-about = ページ
correction-confirm-text = { $product } のページの訂正についてのお知らせを、このアドレスに送ります。心当たりがなければ、このページを閉じてください。何も起こりません。

mail-correction-confirm-text =
    { $site } にある { $subject } のページの訂正 { $number } についてのお知らせ先として、このアドレスが指定されました。

    お知らせを受け取るには、次のページを開いてボタンを押してください。リンクは 24 時間有効です:

    { $link }

    心当たりがなければ、何もしないでください。これ以上メールは届きません。

mail-correction-granted = 訂正が採用されました
mail-correction-granted-what = { $subject } のページの訂正が採用されました。ありがとうございます。
mail-correction-refused = 訂正は採用されませんでした
mail-correction-refused-what = { $subject } のページの訂正は採用されませんでした。理由は下のページにあります。
mail-correction-reply = 回答があります
mail-correction-reply-what = { $subject } のページの訂正に、運営者が回答しました:
mail-correction-changed = 訂正の状態が変わりました
mail-correction-changed-what = { $subject } のページの訂正の状態が変わりました。
