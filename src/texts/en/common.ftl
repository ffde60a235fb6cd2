# Texts that all pages have.

layout-skip = Skip to the content
layout-language = Language
layout-notice = Notice
layout-all-notices = All notices
layout-about = About this list
layout-not-reviewed = This translation has not been reviewed by a native speaker yet.
layout-operator = Operated by { $operator }.

footer-home = Look up

time-just-now = just now
time-in-a-moment = in a moment
time-ago = { $unit ->
    [minute] { $count ->
        [one] { $count } minute ago
       *[other] { $count } minutes ago
    }
    [hour] { $count ->
        [one] { $count } hour ago
       *[other] { $count } hours ago
    }
    [day] { $count ->
        [one] { $count } day ago
       *[other] { $count } days ago
    }
    [month] { $count ->
        [one] { $count } month ago
       *[other] { $count } months ago
    }
   *[year] { $count ->
        [one] { $count } year ago
       *[other] { $count } years ago
    }
}
time-in = { $unit ->
    [minute] { $count ->
        [one] in { $count } minute
       *[other] in { $count } minutes
    }
    [hour] { $count ->
        [one] in { $count } hour
       *[other] in { $count } hours
    }
    [day] { $count ->
        [one] in { $count } day
       *[other] in { $count } days
    }
    [month] { $count ->
        [one] in { $count } month
       *[other] in { $count } months
    }
   *[year] { $count ->
        [one] in { $count } year
       *[other] in { $count } years
    }
}
time-for = { $unit ->
    [second] { $count ->
        [one] { $count } second
       *[other] { $count } seconds
    }
    [minute] { $count ->
        [one] { $count } minute
       *[other] { $count } minutes
    }
    [hour] { $count ->
        [one] { $count } hour
       *[other] { $count } hours
    }
    [day] { $count ->
        [one] { $count } day
       *[other] { $count } days
    }
    [month] { $count ->
        [one] { $count } month
       *[other] { $count } months
    }
   *[year] { $count ->
        [one] { $count } year
       *[other] { $count } years
    }
}

error-not-found = This page does not exist
error-not-found-advice = The link may be cut off or out of date. Look the address up again from the start page.
error-method = This page cannot be opened in this way
error-method-advice = Go back, and use the button or the form of the page.
error-too-many = Too many requests
error-too-many-advice = To keep the list available for everybody, requests from one network are limited. Nothing is lost.
error-again = Please try again in { $duration }.
error-too-long = That text is too long
error-too-long-advice = Paste only the part of the bounce message that says why your mail was refused.
error-forbidden = This request was refused
error-forbidden-advice = It seems to come from another website. Open the page here and use its button.
error-conflict = Something has changed in the meantime
error-conflict-advice = Go back and reload the page to see its current state.
error-invalid = We could not read that
error-invalid-advice = Please check what you entered.
error-unavailable = The service does not answer right now
error-unavailable-advice = Nothing was changed. Please try again in a moment.
error-home = To the start page
