"""What a program does with the generated client: who am I, list, look up, page through listings, see what changed, delist."""
import sys
from datetime import datetime

from orbsd_client import AuthenticatedClient
from orbsd_client.api.commits import list_changes
from orbsd_client.api.listings import create_listing, delete_listing, get_subject, search_listings
from orbsd_client.api.state import get_status
from orbsd_client.api.users import get_me
from orbsd_client.models import ListingRequest, ProblemCode, ProblemDetails, Role

url, token = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
me = get_me.sync(client=client)
assert me.role == Role.OWNER and me.token is not None, me
status = get_status.sync(client=client)
assert status.running and isinstance(status.started, datetime), status
made = [create_listing.sync(client=client, body=ListingRequest(subject=f"45.1.1.{n}", reason="relay", note="by a client")) for n in range(1, 6)]
assert all(m.commit and m.serials.additional_properties for m in made), made
found = get_subject.sync(client=client, subject="45.1.1.1")
assert found.listed and found.entries[0].since.tzinfo and found.zones[0].codes == ["127.0.0.2"], found
subjects, after = [], None
while True:
    page = search_listings.sync(client=client, limit=2, **({"after": after} if after else {}))
    subjects += [listing.subject for listing in page.items]
    after = page.next_
    if not after:
        break
assert subjects == [f"45.1.1.{n}" for n in range(1, 6)], subjects
changes = [change for commit in list_changes.sync(client=client, limit=1000).items for change in commit.changes]
assert any((c.subject, c.event, c.reason, c.source) == ("45.1.1.5", "listed", "relay", "operator") for c in changes), changes
delete_listing.sync(client=client, id=made[0].id, note="closed")
again = create_listing.sync(client=client, body=ListingRequest(subject="45.1.1.1", reason="relay"))
assert isinstance(again, ProblemDetails) and again.code == ProblemCode.HELD and again.status == 409, again
wrong = create_listing.sync(client=client, body=ListingRequest(subject="no address", reason="relay"))
assert wrong.code == ProblemCode.INVALID and wrong.errors[0].field == "subject", wrong
print("the generated client works")
