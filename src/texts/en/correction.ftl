# Corrections of the knowledge base, and the page of their tickets.

correction-hint = Tell us what is wrong, and how it is. You need no account. A person reads it, checks it against its source, and answers on a page of which only you have the address.
correction-entry = What it is about
correction-entry-all = The whole page
correction-version = Version (optional)
correction-text = What is wrong, and how it is
correction-source = Source (optional)
correction-source-hint = A document, a changelog, or how you have found it out on your own server. Please write no passwords.
correction-send = Send the correction
correction-title = Correction about { $product }
correction-review = Your correction about { $product }
correction-review-text = A person reads it and checks it against its source. You need to do nothing. The answer appears on this page.
correction-granted = Your correction about { $product } was accepted
correction-granted-text = Thank you. The knowledge base changes with its next version.
correction-refused = Your correction about { $product } was not accepted
correction-refused-text = The reason is in the conversation below. You can send another one if you have a further source.
correction-withdrawn = You have withdrawn your correction about { $product }
correction-withdrawn-text = Nothing was changed. You can send another one at any time.
correction-step-granted = Accepted
correction-step-refused = Not accepted
correction-contact-text = Optional. We write when the correction changes or is answered. The mail address is erased together with this request.
correction-about = Page
correction-confirm-text = News about your correction of the page about { $product } will be sent to this address. If you did not ask for it, close this page: nothing happens.

mail-correction-confirm-text =
    This address was given for news about correction { $number } of the page about { $subject } at { $site }.

    To receive them, open this page and press the button. The link is valid for 24 hours:

    { $link }

    If you did not give it, do nothing: you will get no further mail about it.

mail-correction-granted = correction accepted
mail-correction-granted-what = Your correction of the page about { $subject } was accepted. Thank you.
mail-correction-refused = correction not accepted
mail-correction-refused-what = Your correction of the page about { $subject } was not accepted. The page below has the reason.
mail-correction-reply = you have a reply
mail-correction-reply-what = An operator has replied to your correction of the page about { $subject }:
mail-correction-changed = your correction has changed
mail-correction-changed-what = Your correction of the page about { $subject } has changed.
