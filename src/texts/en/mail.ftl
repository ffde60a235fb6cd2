# Mail about tickets. Each mail has a subject and a text; links stand on lines of their own.

mail-code-subject = Code to prove that { $subject } is yours
mail-code-text =
    A person asks the blocklist at { $site } to delist { $subject }, and says that they are responsible for it.

    If that is so, open this page and press the button. The link is valid for 24 hours and works once:

    { $link }

    If you know nothing of it, do nothing: without this code nothing happens.

mail-confirm-subject = Confirm your address for request { $number }
mail-confirm-text =
    This address was given for news about the request to delist { $subject } at { $site }.

    To receive them, open this page and press the button. The link is valid for 24 hours:

    { $link }

    If you did not give it, do nothing: you will get no further mail about it.

mail-answer-subject = Your request to delist { $subject }
mail-answer-text =
    Your message has opened request { $number } to delist { $subject }.

    This page shows its state and what you can do next. Do not pass the link on, since it is the only key to the request:

    { $link }

mail-change-subject = { $subject }: { $change }
mail-change-text =
    { $what }

    The page of request { $number } has the details and what you can do next:

    { $link }

mail-footer =
    --{" "}
    Request { $number } at { $site }
    To get no more mail about it, open this page and press the button:
    { $unsubscribe }

mail-granted = delisted
mail-granted-what = { $subject } was delisted. Mail servers that remember the listing forget it within minutes.
mail-failed = the test found an open relay
mail-failed-what = The test of { $subject } delivered a message, so it stays listed. Close the relay, then test again.
mail-blocked = the test was blocked
mail-blocked-what = { $subject } refused the tester, which does not show whether it relays. It stays listed for now.
mail-waiting = waiting period
mail-waiting-what = The test of { $subject } gave no clear result. If no test message arrives, it is delisted at the end of the waiting period.
mail-delayed = removal at a later time
mail-delayed-what = { $subject } will be delisted later, because an earlier removal was followed by a new listing.
mail-review = a person decides
mail-review-what = A person will decide about { $subject }: you get an answer within two days and a decision within seven.
mail-suspended = not published until a decision
mail-suspended-what = No operator decided about { $subject } in time, so the listing is not published until a person decides.
mail-refused = request refused
mail-refused-what = The request to delist { $subject } was refused.
mail-ended = no longer listed
mail-ended-what = { $subject } is no longer listed for the reasons of your request.
mail-reply = you have a reply
mail-reply-what = An operator has replied to your request about { $subject }:
mail-listed-again = listed again
mail-listed-again-what = { $subject } is listed again.
