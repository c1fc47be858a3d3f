"""
The codes of problems: what each means, and what to do next.

One table, told at `/problems/<code>`; what answers are made of it, `api.problems` says.
"""

from __future__ import annotations

import msgspec


class Code(msgspec.Struct, frozen=True):
    """What a code means: what `/problems/<code>` tells."""

    http_status: int
    code: str
    title: str
    meaning: str
    next_step: str


#: Every code: a line with code, HTTP status and title; what happened; what to do next.
_TABLE = """
sold_out 409 There are not enough places left.
Fewer places are left than the order asks for, and too few are held that might come back.
Ask for fewer or for another tier, or join the waitlist.

all_held 409 All places are taken for now; some may return.
Others hold the last places and have not confirmed them yet.
Try again in a few minutes, or join the waitlist: what comes back is offered there first.

kept_for_waitlist 409 The free places are kept for those who wait.
Places are free, but people wait for this tier, and what is free is offered to them in their order.
Join the waitlist: `POST /v1/events/{event_id}/waitlist` with the tier and the number of places.

promo_exhausted 409 The promo code is used as often as may be.
The code is right, but its last use is taken.
Order without the code, or with another one.

limit_reached 409 That is more than one may have.
With this order you would have more places than the event or the tier allows one person.
Order fewer; `scope` says which limit it is, and what you hold counts as well.

sale_not_open 409 The sale has not opened yet.
You are early: places of this tier are not sold before `opens_at`.
Come back at that time; a new Idempotency-Key is not needed.

sale_closed 409 The sale is closed.
The time in which places of this tier were sold is over, or the organizer closed the sale.
Look at the event again, or ask the organizer: a sale may be reopened.

event_ended 409 The event is over by then.
Nothing is sold once the event has ended, at `ends_at`, but by tiers that say so.
Look for another date; if the event is yours, end its sale no later than the event.

price_changed 409 The places cost something else now.
The hold had run out, and with it the price that it promised; they would now cost `total_minor`.
Order anew, if the price is right for you.

not_on_sale 409 The event is not on sale.
The event is a draft, or its sale has ended for good.
Look at the event again. If it is yours: publish it first.

seat_taken 409 The seat is not free.
Somebody was faster, or the organizer does not sell this seat.
Look at the seat map again and choose another, or ask for the best available.

not_together 409 Enough seats are left, but not together.
There are enough free seats, but no row has that many side by side.
Ask again for seats that may be apart, or for fewer.

not_found 404 There is no such thing here.
Nothing is at this address that you may see; what belongs to others is answered in the same way.
Check the address and the account that you are logged in with.

idempotency_key_reused 422 The idempotency key was used for another request.
A key stands for one order, as a scan's id does for one scan; this one came with another before.
Send the first request to get its answer again, or make a new key for the new one.

event_cancelled 409 The event was called off.
The organizer cancelled the event, and every booking of it was cancelled with it.
Ask the organizer about money that was paid.

ticket_cancelled 410 The ticket was cancelled.
The booking of this ticket was cancelled in whole or in part; nobody comes in with it.
Let the guest show the booking; another ticket of it may be good.

ticket_superseded 410 The ticket was given to somebody else; this code is void.
The ticket was passed on, and its new owner has a new code.
Ask for the newest code: the one in the booking of the new owner.

already_checked_in 409 Somebody is in on this ticket already.
The ticket was used at the gate before, at `checked_in_at`; its place cannot be given back or away.
If the scan was a mistake, undo that check-in; otherwise the code was copied.

wrong_event 409 The ticket is for another event.
The code is good, but not at the door of the event that the scan names; nothing was done with it.
Send the guest to the event of the ticket; if the gate is there, name that event.

several_tickets 409 The booking has several tickets, each with a code of its own.
A picture or pass holds one code, and of `tickets` tickets nobody could say which one is meant.
Ask for each ticket's own, such as `GET /v1/tickets/{ticket_id}/qr.svg`; its PDF has them all.

not_a_draft 409 The event is no draft any more.
Its publishing has begun, so places of it may be sold; only what nobody could buy can be taken away.
Cancel the event instead: then all who have places get them back.

not_checked_in 409 Nobody is in on this ticket.
There is no check-in that could be undone.
Nothing is left to do.

version_changed 409 The booking has changed since; read it again.
The request was made for an older state of the booking than it has now.
Read the booking, decide anew, and send its new version.

not_in_booking 409 The booking has not what is to be given back.
It has fewer places of that tier left, or the ticket or seat is not, or no longer, one of its own.
Read the booking and give back what it has.

seats_not_named 409 It must be said which seats.
Some of several seats of a tier are to be given back, and a number does not say which.
Send the `seat_ids` or the `ticket_ids` that are to go; a number is enough where all seats go.

below_minimum 409 That would leave fewer places of a tier than one may have.
An order of this tier has at least `minimum` places, and so must what is kept of it.
Give back fewer, or all of this tier.

ticket_transferred 409 A ticket was given away; it is its holder's.
Who booked it cannot give back the place of `ticket_id`, which somebody else has now.
Ask them to give it back (`POST /v1/tickets/{id}/return`), or leave it out: name those that go.

no_transfers 409 Tickets of this event cannot be given away.
The organizer has ruled that a ticket stays with who booked it.
Cancel the place if the event allows it, so that somebody else can book it.

not_upgraded 409 The server cannot do this before its upgrade is over.
The sale is still kept in a form that older servers read too, and this cannot be said in it.
Ask again after the upgrade; places can be given back by their number until then.

tier_has_seats 409 Seats are named, not counted.
Which seats of a booking are meant, a number does not say; and a tier has as many places as seats.
Name the seats, or cancel the whole booking; to sell fewer, block seats.

capacity_below_taken 409 More places than that are sold, held or blocked.
A tier cannot shrink below the places that are taken.
Choose a larger capacity, or cancel or unblock places first.

sale_differs 409 The sale is another than you take it for.
It has opened or was changed meanwhile, or has a code of that name with other terms.
Read the event again, and ask for what goes with it.

hold_expired 410 The hold is over and its places are gone.
The time to confirm ran out, and others have taken the places since.
Order anew.

hold_released 410 The hold was given back.
It was released before it was confirmed, so its places are for sale again.
Order anew.

hold_confirmed 409 The hold is a booking already.
It was confirmed before and cannot be released or extended.
Look at the booking; cancel that if you do not want it.

extension_limit 409 The hold has the longest life it can have.
A hold can be extended for a while, but not for ever.
Confirm it before it ends, or let it go.

already_waiting 409 You wait for this tier already.
One person has one entry in the waitlist of a tier.
Look at your entry; leave the waitlist first if you need another number of places.

places_available 409 There are places, and nobody waits: book them.
A waitlist is for tiers without free places.
Book or hold the places now.

party_too_large 409 The tier can never have so many places free.
The party is larger than the tier, less the places that the organizer does not sell: `max` is left.
Wait for at most `max` places, or for another tier.

waitlist_full 409 As many wait as may.
The waitlist of this tier has as many entries as it may have.
Try another tier, or try again later.

too_many_holds 429 Too many holds are open.
You, or the address that you come from, have as many holds of this event open as may be.
Confirm or release one, or try again after `Retry-After`, when the next one runs out.

rate_limited 429 That is more than one may try at a time.
You tried to get places, missed a password, made accounts or sent requests more often than may be.
Wait as long as `Retry-After` says; `RateLimit-Policy` names the limit.

backpressure 503 Too much is waiting; try again shortly.
So many requests wait, or so many sales wait to be stored, that more would only make it worse.
Send the same request with the same Idempotency-Key again after the time in `Retry-After`.

invalid 422 The request is not valid.
The request could be read, but a value in it is not one that this address takes.
Mend what `errors` points to: each entry has a JSON pointer to the value and says what is wrong.

malformed 400 The body cannot be read.
The body is not the JSON that its headers announce.
Send JSON in UTF-8; `detail` says where reading ended.

too_large 413 The body is too large.
The server takes bodies up to a limit, and this one is above it.
Send less in one request.

request_timeout 408 The request did not arrive in time.
The request, or its body, came so slowly that the server did not wait for the rest.
Send it again, in one go; with the same Idempotency-Key if it has one.

uri_too_long 414 The address is too long.
Path and query together are longer than the server reads.
Ask for less in one address.

headers_too_large 431 The headers are too large.
One header is longer than the server reads, or there are too many.
Send fewer or shorter headers; cookies are of no use here.

unsupported_encoding 415 The body is compressed, which no request here may be.
The request names a Content-Encoding; bodies are taken only as they are.
Send the body uncompressed and without that header.

too_many_connections 429 There are too many connections from this address.
One address may have only so many connections at a time.
Close those that are not used, or wait; a proxy must be named to the server by its operator.

too_many_streams 429 There are too many streams of this account or address.
An account, and an address, may have only so many event streams open at a time.
Share one stream between the pages of a browser, or close those that are not used.

origin_not_allowed 403 Pages of that site may not open a stream.
The header `Origin` names a site that is neither this one nor on the list of those that may read.
Open it from this site, or ask the operator to put the site into `EVENTLY_CORS_ORIGINS`.

not_implemented 501 The server does not do this.
The method, or the way in which the body is sent, is one that the server does not know.
Use a method that the description of the API names, and send the body as it is.

version_not_supported 505 The server speaks HTTP/1.1 and HTTP/1.0 alone.
The request is written in another version of HTTP.
Use HTTP/1.1, or a proxy that speaks the other version to you.

method_not_allowed 405 The path has no such method.
The address exists, but not for this method.
Use one of the methods in the header `Allow`.

http_error 400 The request cannot be served.
The request is not good HTTP, or asks for something this server does not do; `title` says what.
Mend the client; a person with a browser should not see this.

unauthorized 401 The request is not authorized.
There is no access token, or it has run out or was ended, or it is not one of this server.
Get another by `POST /v1/auth/refresh`, or log in; send it as `Authorization: Bearer <token>`.

wrong_credentials 401 Address or password is wrong.
There is no account with this address and this password.
Check both and try again.

sign_in_over 401 The sign-in is over, or was not begun here.
It was begun too long ago, or by somebody else, or it has been used: each ends once.
Begin anew, and bring back the `flow` that you get then.

sign_in_refused 401 The sign-in could not be proved.
What the provider or the passkey says is not proved, or not of this sign-in; or it was broken off.
Begin anew; if it happens again, sign in another way, and tell the operator the `request_id`.

provider_unavailable 503 The provider does not answer.
The provider that you sign in by cannot be asked right now; all else goes on.
Try again after the time in `Retry-After`, or take another way to sign in.

address_unverified 409 The provider does not vouch for an address.
There is no account for you yet, and one is made only with an address that it has verified.
Verify your address there and sign in again; or register here, and join the provider to that.

link_needed 409 There is an account with this address.
Its owner joins the provider to it; by itself that is done if both sides verified the address.
Sign in to it as usual (or reset its password), and join the provider there: `/v1/me/identities`.

identity_taken 409 This identity belongs to another account.
Somebody joined it to their account before, perhaps you to another one of yours.
Sign in by it, and take it from that account first.

passkey_known 409 This passkey is registered already.
A passkey belongs to one account.
Use it to sign in, or make another one.

passkeys_off 404 There are no passkeys here.
The operator has not named the site for which passkeys are.
Sign in another way; the operator sets `EVENTLY_PASSKEY_RP_ID` and `EVENTLY_PASSKEY_ORIGINS`.

push_off 404 Nothing is pushed here.
The operator has made no key for it.
Do without; the operator sets `EVENTLY_VAPID_KEYS`.

wallet_off 404 No tickets are made for this wallet.
The operator has no certificate or key for it, or the certificate has ended.
Use the PDF; the operator sets `EVENTLY_APPLE_PASS_*` or `EVENTLY_GOOGLE_WALLET_*`.

too_many_browsers 409 The account has as many browsers as it may.
Messages are pushed to a bounded number of browsers of an account: `browsers_max`.
Remove one that you do not use first.

too_many_ways_in 409 The account has as many as it may.
An account has a bounded number of passkeys, and of identities at providers.
Remove one that you do not use first.

last_way_in 409 Without it nobody could sign in.
It is the account's last way in, or the last passkey of a role that must have one.
Add another one first, or set a password.

sign_in_again 403 Sign in again for this.
Ways into the account change only soon after a sign-in, so that a stolen token does not do it.
Sign in again, by any way that you have, and repeat it within ten minutes.

passkey_required 403 The role asks for a passkey.
The rights of your role are there for who signed in by a passkey alone.
Sign in by your passkey; if you have none yet, make it at `/v1/me/passkeys`, and then sign in by it.

foreign_form 403 The form does not come from a page that was made for you.
A form is taken from the page that it was shown on alone; its cookie was missing, or is another.
Open the page anew and send the form from there.

forbidden 403 The account may not do this.
You are logged in, but your role does not reach that far.
Use an account of the organizer or of an admin.

bookings_open 409 There are live bookings, or tickets, of events to come.
An account that is erased cannot give anything back any more, nor be told of changes.
Say in `bookings` what becomes of them: `cancel` gives them back, `keep` leaves them good.

account_disabled 403 The account is kept out.
You are who you say, but an operator has disabled the account.
Ask the operator of the service why, and to enable it.

last_owner 409 The organizer must keep an owner.
Without this account nobody would own the organizer.
Make somebody else on the team an owner first.

last_admin 409 The service must keep an admin.
Without this account there would be no admin who can log in.
Make somebody else an admin first.

already_member 409 You are on this team already.
The invitation is to a team that you are on; your place there stays as it is.
Ask an owner of the organizer for another place, and decline the invitation.

team_full 409 The team is full.
A team has so many members, and so many open invitations, and no more.
Remove somebody, or withdraw an invitation.

session_over 401 The session is over.
The refresh token is not known: it was used before, has run out, or its session was ended.
Log in again; if you did not end the session, look at `GET /v1/me/sessions` and change the password.

link_over 410 The link was used before, or is too old.
The token of a letter opens something once, within its time, and only from the account it is for.
Ask for another letter; to prove an address, be logged in with the account that asked for it.

insufficient_scope 403 The key was not made for this.
The API key or device token is good, and what it was made for does not reach that far.
Ask with a key that has one of the scopes in `WWW-Authenticate`, if any; else as a person.

too_many_webhooks 409 There are as many webhooks as there may be.
An organizer has so many webhooks and no more: `webhooks_max`.
Take one away that nobody listens at; `failing_since` may say which that is.

webhook_off 409 The webhook is turned off.
Nothing is sent to it: somebody turned it off, it said that it is gone, or nothing arrived for days.
Turn it on again (`PATCH` with `{"state": "active"}`), and repeat it.

webhooks_off 404 There are no webhooks here.
The operator has not set the key with which their secrets are kept.
Ask over the API instead; the operator sets `EVENTLY_WEBHOOK_KEY`.

too_many_keys 409 There are as many keys as there may be.
The organizer has the most API keys, or the event the most devices, that one may have: `keys_max`.
Revoke what nobody uses any more; `last_used_at` says which those are.

refund_not_due 409 Nothing is due for this order.
No places were given up that cost something, or what was due is settled already, perhaps otherwise.
Read the order again: `refund` says how it stands, and its notes say who settled it.

too_many_notes 409 The order has as many notes as it may have.
One order has `notes_max` notes at most.
Write no more; what happens to it stands in its history anyway.

sale_has_opened 409 The sale has opened.
There is nothing to be told of any more: its opening is in the past.
Look at the event, and order.

too_many_reminders 409 You wish to be told of as many sales as you may.
An account may wait for `reminders_max` sales; those that opened are forgotten after some weeks.
Take one back, with DELETE at the same address, and ask again.

idempotency_key_missing 400 The request needs an Idempotency-Key.
Orders carry a key, so that repeating one never books twice.
Make a key for the order (a UUID is good) and send it, the same with every repetition.

idempotency_key_malformed 400 The Idempotency-Key is malformed.
The key is empty, too long, or has characters that a header may not have.
Send 1 to 255 plain characters; a UUID is good.

request_in_progress 409 The same request is being answered elsewhere.
Another request with this Idempotency-Key came before, and it is not known yet how that ends.
Send it again after the time in `Retry-After`, with the same key; you get the answer of the first.

done_before 409 It was done before, and the answer is not kept.
A request with this key was done; what it told is told once, was too long, or was lost.
Look for what was made: `subject` is its id. Of a key or code that you never got, make another.

precondition_required 428 The request must say which version it changes.
Changes name the version they start from, so that none is lost to another made at the same time.
Read it first, and send its version as `errors` says.

precondition_failed 412 The event has changed since; read it again.
Somebody changed the event after you read it, and nothing of your change was done.
Read the event, make the change again, and send its new version in `If-Match`.

outcome_unknown 503 It is not known whether this happened.
The answer of a server was lost or late: the order may have been done or not.
Send the same request with the same Idempotency-Key again; you get the one true answer.

shard_recovering 503 The sale is being checked; it reopens shortly.
A server had a fault, and the sale is shut until both stores are proved to agree.
Repeat after the time in `Retry-After`, with the same key; bookings that were confirmed stay.

event_recovering 503 The event is being restored; its sale goes on shortly.
A part of this event's data was lost and is being put together again from the journal.
Repeat after the time in `Retry-After`, with the same key; bookings that were confirmed stay.

catching_up 503 The database is behind.
What you ask for is sold and safe, but not yet where this page reads it.
Ask again in a few seconds.

redis_unavailable 503 Redis does not answer.
The store that sells cannot be reached, so nothing can be sold right now.
Repeat after the time in `Retry-After`, with the same key.

database_busy 503 The database is busy with requests of this kind.
This kind of request takes the database too long just now; others go on. Nothing was changed.
Ask again after the time in `Retry-After`.

database_unavailable 503 The database does not answer.
The database cannot be reached; buying may go on while reading waits.
Ask again after the time in `Retry-After`.

internal 500 Something is wrong on our side.
The server met an error that nobody had foreseen; it is logged under the `request_id`.
Repeat with the same key; if it happens again, tell the operator the `request_id`.
"""


def _read(table: str) -> dict[str, Code]:
    codes = {}
    for entry in table.strip().split("\n\n"):
        first, meaning, next_step = entry.splitlines()
        code, status, title = first.split(" ", 2)
        codes[code] = Code(int(status), code, title, meaning, next_step)
    return codes


CODES = _read(_TABLE)
