# すべてのページで使う文章。

layout-skip = 本文へ移動
layout-language = 言語
layout-notice = お知らせ
layout-all-notices = すべてのお知らせ
layout-about = このリストについて
layout-not-reviewed = この翻訳は、まだ日本語を母語とする人の確認を受けていません。
layout-operator = 運営者: { $operator }

footer-home = 検索

time-just-now = たった今
time-in-a-moment = まもなく
time-ago = { $unit ->
    [minute] { $count }分前
    [hour] { $count }時間前
    [day] { $count }日前
    [month] { $count }か月前
   *[year] { $count }年前
}
time-in = { $unit ->
    [minute] { $count }分後
    [hour] { $count }時間後
    [day] { $count }日後
    [month] { $count }か月後
   *[year] { $count }年後
}
time-for = { $unit ->
    [second] { $count }秒
    [minute] { $count }分
    [hour] { $count }時間
    [day] { $count }日
    [month] { $count }か月
   *[year] { $count }年
}

error-not-found = このページは存在しません
error-not-found-advice = リンクが途中で切れているか、古くなっている可能性があります。最初のページからもう一度検索してください。
error-method = このページはこの方法では開けません
error-method-advice = 前のページに戻り、ボタンまたはフォームをお使いください。
error-too-many = リクエストが多すぎます
error-too-many-advice = どなたでもリストを利用できるように、同じネットワークからのリクエスト数を制限しています。入力内容が失われることはありません。
error-again = { $duration }後にもう一度お試しください。
error-too-long = 文章が長すぎます
error-too-long-advice = エラーメールのうち、拒否の理由が書かれている部分だけを貼り付けてください。
error-forbidden = このリクエストは拒否されました
error-forbidden-advice = 別のサイトから送信されたようです。このサイトでページを開き、ボタンをお使いください。
error-conflict = その間に状態が変わりました
error-conflict-advice = 前のページに戻って再読み込みし、現在の状態をご確認ください。
error-invalid = 読み取れませんでした
error-invalid-advice = 入力内容をご確認ください。
error-unavailable = 現在、サービスが応答していません
error-unavailable-advice = 変更は行われていません。しばらくしてからもう一度お試しください。
error-home = 最初のページへ
