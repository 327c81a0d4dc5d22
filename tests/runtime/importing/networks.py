"""Exports of Slack, Discord, Reddit, Mastodon, X, Keep and Amazon."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from .texts import Author
from .variants import Variant, dump, maker


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue().encode()


def slack_day(author: Author, day: int) -> tuple[list[Any], dict[str, str]]:
    clock = iter(range(100))

    def said(user: str | None, text: str, **more: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "type": "message",
            "text": text,
            "ts": f"{1_700_000_000 + day * 86400 + next(clock)}.000100",
        }
        return fields | ({} if user is None else {"user": user}) | more

    asked, answers = author.other(), {}
    first = said("U2", asked)
    reply = said("U1", f"<@U2> {author.own()}", thread_ts=first["ts"])
    answers[author.marks[-1]] = asked
    return [
        first,
        said("U2", author.other()),
        reply,
        said("U1", f"{author.own()} <https://example.com/x|{author.own(3)}> &amp; <#C1|general> <https://example.com>"),
        said("U1", f"&gt; {author.other()}\n{author.own()}"),
        said("U1", f"```{author.other()}```"),
        said(None, author.other(), subtype="bot_message", bot_id="B1"),
        said("USLACKBOT", author.other()),
        said("U1", author.other(), subtype="channel_join"),
        said("U1", author.other(), bot_id="B2"),
        said("U1", author.own(), subtype="thread_broadcast", edited={"user": "U1", "ts": "1700000000.0002"}),
        said("U1", "", files=[{"name": "a.png"}]),
        said("U7", author.other()),
        None,
    ], answers


@maker
def slack() -> Iterator[Variant]:
    users = [
        {
            "id": "U1",
            "name": "ana",
            "real_name": "Ana Müller",
            "profile": {"display_name": "ana m", "email": "ana@example.org"},
        },
        {"id": "U2", "name": "bob", "profile": {"display_name": ""}},
    ]
    for me in ("ana", "Ana Müller", "@ana m", "ana@example.org", "U1"):
        author = Author()
        first, answers = slack_day(author, 0)
        days = {"general/2023-11-14.json": dump(first), "other/2023-11-15.json": dump(slack_day(author, 1)[0])}
        files = {"users.json": dump(users), "channels.json": b"[]", **days}
        yield Variant("slack", f"me as {me}", files, tuple(author.marks), me=(me,), person="ana", answers=answers)


@maker
def discord() -> Iterator[Variant]:
    for folder, prefix in (("messages", "c"), ("Messages", ""), ("package/Messages", "c"), ("Nachrichten", "c")):
        author = Author()
        rows = [
            {"ID": 1, "Timestamp": "2023-05-01 12:00:00", "Contents": author.own(), "Attachments": ""},
            {
                "ID": 2,
                "Timestamp": "2023-05-01T12:00:00.123+00:00",
                "Contents": f"<@12345> {author.own()} <:smile:123>",
            },
            {
                "ID": 3,
                "Timestamp": "2023-05-01 12:00:00.123000+00:00",
                "Contents": f"> {author.other()}\n{author.own()}",
            },
            {"ID": 4, "Timestamp": "2023-05-01 12:00:00", "Contents": "", "Attachments": "https://example.com/a.png"},
            {"ID": 5, "Timestamp": "2023-05-01 12:00:00", "Contents": f"```py\n{author.other()}\n```"},
            {"ID": 6, "Timestamp": "yesterday", "Contents": author.other()},
            None,
        ]
        cells = [[str(n), "2023-05-01 12:00:00.123000+00:00", author.own() + '\n"so"', ""] for n in range(3)]
        files = {
            f"{folder}/index.json": b'{"123456": "Direct Message with bob"}',
            f"{folder}/{prefix}123456/channel.json": b'{"id": "123456", "type": 1}',
            f"{folder}/{prefix}123456/messages.json": dump(rows),
            f"{folder}/{prefix}123457/messages.json": b"[]",
            f"{folder}/{prefix}1234567/messages.csv": table(("ID", "Timestamp", "Contents", "Attachments"), cells),
            "account/user.json": b'{"id": "1", "username": "ana"}',
        }
        yield Variant("discord", f"{folder}/{prefix}", files, tuple(author.marks))


@maker
def reddit() -> Iterator[Variant]:
    author = Author()
    header = ("id", "permalink", "date", "ip", "subreddit", "gildings", "link", "parent", "body", "media")
    when = "2023-01-15 12:34:56 UTC"

    def row(body: str, date: str = when) -> list[str]:
        return [
            "a1",
            "https://example.com",
            date,
            author.other(1),
            "gardening",
            "0",
            "https://example.com",
            "",
            body,
            "",
        ]

    comments = [row(author.own()), row(f"> {author.other()}\n\n{author.own()}"), row("[deleted]"), row("[removed]")]
    comments += [
        row(author.other(), "soon"),
        row(f"{author.own()}\n\n[{author.own(3)}](https://example.com)"),
        ["short"],
    ]
    posts = (("id", "permalink", "date", "ip", "subreddit", "gildings", "title", "url", "body"),
             [["p1", "", when, author.other(1), "gardening", "0", author.own(5), "https://example.com", author.own()],
              ["p2", "", when, "", "gardening", "0", author.own(5), "https://example.com", ""]])  # fmt: skip
    youtube = table(("Comment ID", "Channel ID", "Comment Text"), [["1", "2", author.other()]])
    files = {"export/comments.csv": b"\xef\xbb\xbf" + table(header, comments), "export/posts.csv": table(*posts),
             "Takeout/YouTube/comments.csv": youtube, "export/statistics.csv": b"statistic,value\n"}  # fmt: skip
    yield Variant("reddit", "comments and posts", files, tuple(author.marks), person="ana")


@maker
def mastodon() -> Iterator[Variant]:
    author = Author()

    def create(html: str, **more: Any) -> dict[str, Any]:
        note = {"id": "https://example.com/1", "type": "Note", "content": html, "published": "2023-05-01T10:00:00Z"}
        return {"type": "Create", "published": "2023-05-01T10:00:00Z", "object": note | more}

    link = '<a href="https://example.com/a"><span class="invisible">https://</span><span>example.com/a</span></a>'
    items = [
        create(f"<p>{author.own()}<br />{author.own()} &amp; so on</p><p>{author.own()}</p>"),
        create(
            f'<p><span class="h-card"><a href="x">@<span>bob</span></a></span> {author.own()} {link}</p>', inReplyTo="x"
        ),
        {"type": "Announce", "object": f"https://example.com/{author.other(1)[:-1]}"},
        {"type": "Announce", "object": {"content": author.other()}},
        create("", attachment=[{"type": "Document"}]),
        create(f"<blockquote>{author.other()}</blockquote><p>{author.own()}</p>"),
        {"type": "Like", "object": "x"},
        {"type": "Create", "object": "https://example.com/2"},
        None,
    ]
    box = {"@context": "https://www.w3.org/ns/activitystreams", "id": "outbox.json", "orderedItems": items}
    actor = {"preferredUsername": "ana", "summary": author.other()}
    yield Variant("mastodon", "archive", {"outbox.json": dump(box), "actor.json": dump(actor)}, tuple(author.marks))


def script(name: str, value: Any) -> bytes:
    return f"window.YTD.{name}.part0 = ".encode() + dump(value)


@maker
def x() -> Iterator[Variant]:
    for name in ("tweets.js", "tweet.js"):
        author = Author()
        when = {"created_at": "Wed Oct 10 20:19:24 +0000 2018"}
        long = f"{author.own()} {author.own()} {author.own()}"
        tweets = [
            {"tweet": {"id_str": "1", "full_text": f"{author.own()} &amp; https://t.co/abc", **when}},
            {"tweet": {"id_str": "2", "full_text": f"RT @bob: {author.other()}", **when}},
            {"tweet": {"id_str": "3", "full_text": f"@bob @carl {author.own()}", "in_reply_to_status_id": "9", **when}},
            {"tweet": {"id_str": "4", "full_text": f"{long[:120]}… https://t.co/long", **when}},
            {"tweet": {"id_str": "5", "full_text": "https://t.co/only", **when}},
            {"tweet": None},
            None,
        ]
        bare = {"id_str": "6", "full_text": author.own(), **when}
        notes = [{"noteTweet": {"noteTweetId": "4", "createdAt": "2023-05-01T10:00:00.000Z", "core": {"text": long}}}]
        files = {
            f"data/{name}": script("tweets", [*tweets, bare]),
            "data/note-tweet.js": script("note_tweet", notes),
            "data/account.js": script("account", [{"account": {"username": "ana"}}]),
            "data/deleted-tweets.js": script("deleted", [{"tweet": {"full_text": author.other(), **when}}]),
            "data/like.js": script("like", [{"like": {"fullText": author.other()}}]),
        }
        if name == "tweets.js":
            files["data/tweets-part1.js"] = script("tweets", [{"tweet": {"full_text": author.own(), **when}}])
        yield Variant("x", name, files, tuple(author.marks))


@maker
def keep() -> Iterator[Variant]:
    for folder in ("Takeout/Keep", "Takeout/Notizen"):
        author = Author()
        plain = {"isTrashed": False, "isPinned": False, "isArchived": False, "title": "A title"}
        times = {"userEditedTimestampUsec": 0, "createdTimestampUsec": 1_600_000_000_000_000}
        notes = [
            {**plain, **times, "textContent": author.own(), "textContentHtml": f"<p>{author.other()}</p>"},
            {**plain, "userEditedTimestampUsec": 1_600_000_000_000_000, "listContent": [
                {"text": author.own(4), "isChecked": False}, {"text": author.own(4), "isChecked": True}]},
            {**plain, "isArchived": True, "textContentHtml": f"<p>{author.own()}</p><p>{author.own()}</p>"},
            {**plain, "isTrashed": True, "textContent": author.other()},
            {**plain, "textContent": author.other(), "sharees": [{"email": "bob@example.org", "isOwner": True}]},
            {**plain, "textContent": ""},
            {"labels": author.other()},
            [1],
        ]  # fmt: skip
        files = {f"{folder}/note {number}.json": dump(note) for number, note in enumerate(notes)}
        files |= {f"{folder}/cut.json": b'{"isTrashed": fa', f"{folder}/note 0.html": author.other().encode()}
        yield Variant("keep", folder, files, tuple(author.marks), person="ana")


@maker
def amazon() -> Iterator[Variant]:
    for header in (
        ("ASIN", "ProductName", "StarRating", "SubmissionDate", "Title", "Body"),
        ("Country", "ASIN", "ReviewTitle", "ReviewBody", "LastModifiedDate", "StarRating", "ProductName"),
    ):
        author = Author()

        def row(asin: str, body: str, date: str, title: str = "Good") -> list[str]:
            cells = {"ASIN": asin, "ProductName": "A lamp &amp; more", "StarRating": "4", "Country": "DE"}
            cells |= {"SubmissionDate": date, "LastModifiedDate": date, "Title": title, "ReviewTitle": title}
            return [{**cells, "Body": body, "ReviewBody": body}[name] for name in header]  # noqa: B023

        rows = [
            row("B1", author.other(), "2023-01-01T00:00:00Z"),
            row("B1", f"{author.own()}<br />{author.own()}", "2023-03-01T00:00:00Z"),
            row("B1", author.other(), "2023-02-01T00:00:00Z"),
            row("B2", "", "2023-02-01"),
            row("B3", author.own(), ""),
            row("", author.own(), "2023-02-01"),
        ]
        name = "Retail.CustomerReviews.1/Retail.CustomerReviews.1.csv"
        yield Variant(
            "amazon", header[-1], {name: b"\xef\xbb\xbf" + table(header, rows)}, tuple(author.marks), person="ana"
        )
