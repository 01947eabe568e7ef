"""What an enemy, or a broken program, sends to a node: a row each, for tests/cluster/test_hostile.

(name, method, path, headers, body, statuses): the path goes out as it stands; `statuses` are what may be answered,
most of them one. The database /h has the document "d" with an attachment "a" of 1 MiB, and 40 documents with texts."""
import gzip
import json
import struct

JSON = {"Content-Type": "application/json"}
OK = (200, 201, 202)
BAD = (400,)


def _find(name, body, statuses):
    return (f"find: {name}", "POST", "/h/_find", JSON, body if isinstance(body, bytes) else json.dumps(body).encode(), statuses)


def _nest(depth, inner='"x"', opener='{"$and":[{"a":1},', closer="]}"):
    return ('{"selector":' + opener * depth + '{"a":' + inner + "}" + closer * depth + "}").encode()


def selectors():
    evil = "(a+)+$", "^(a|aa)+$", "(.*)*x", "((a*)*)*b", r"(a*)*\1b", "(?:a?){200}a{200}", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y"
    for regex in evil:
        yield _find(f"regex {regex}", {"selector": {"text": {"$regex": regex}}}, (200,))
    yield _find("regex that recurses", {"selector": {"text": {"$regex": "(?R)?a"}}}, (200, 400))
    yield _find("regex with a callout, code or a file", {"selector": {"text": {"$regex": r"(?C1)\Ca(*LIMIT_MATCH=4000000000)"}}}, (200, 400))
    yield _find("regex of 1 MiB", {"selector": {"text": {"$regex": "a" * (1 << 20)}}}, BAD)
    yield _find("65 expressions", {"selector": {"$or": [{"text": {"$regex": f"a{i}"}} for i in range(65)]}}, BAD)
    yield _find("nothing but brackets", b'{"selector":' + b"[" * 100000, BAD)
    yield _find("depth 1,000", _nest(1000), BAD)
    yield _find("20,001 conditions", {"selector": {"$or": [{"a": i} for i in range(20001)]}}, BAD)
    yield _find("100,000 values of $in", {"selector": {"n": {"$in": list(range(100000))}}}, (200, 400))
    yield _find("5 MiB", {"selector": {"a": "x" * (5 << 20)}}, (400, 413))
    for value in ("1e309", "-1", "1.5", "18446744073709551616", '"x"', "null", "[]"):
        yield _find(f"limit {value}", b'{"selector":{},"limit":' + value.encode() + b"}", BAD)
        yield _find(f"skip {value}", b'{"selector":{},"skip":' + value.encode() + b"}", BAD)
    yield _find("limit of 64 bits", b'{"selector":{},"limit":9223372036854775807}', (200, 400))
    for selector in ([], "x", 7, None, {"$and": {}}, {"$not": []}, {"a": {"$in": 1}}, {"a": {"$mod": [0, 0]}}, {"a": {"$size": -1}},
                     {"a": {"$nosuch": 1}}, {"$nosuch": []}, {"a": {"$regex": 1}}, {"a": {"$regex": "("}}, {"a": {"$type": "x"}}):
        yield _find(f"selector {json.dumps(selector)}", {"selector": selector}, (200, 400))
    yield _find("a name of 10,000 parts", {"selector": {".".join("a" * 10000): 1}}, (200, 400))
    yield _find("10,000 fields", {"selector": {}, "fields": [f"f{i}" for i in range(10000)]}, (200, 400))
    yield _find("10,000 sorts", {"selector": {}, "sort": [f"f{i}" for i in range(10000)]}, BAD)
    for mark in ("x", "g1AAAA", "A" * 100000, "\x00", "../../etc/passwd"):
        yield _find(f"bookmark {mark[:10]!r}", {"selector": {}, "bookmark": mark}, BAD)
    yield _find("use_index of somewhere", {"selector": {"a": 1}, "use_index": "../../_users"}, (200, 400))


def bodies():
    def put(name, body, statuses, headers=JSON):
        return f"body: {name}", "PUT", f"/h/x{len(name)}{name[-1]}", headers, body, statuses
    yield put("depth 1,000,000", b'{"a":' + b"[" * 1000000, BAD)
    yield put("a number of 1 MiB", b'{"a":' + b"1" * (1 << 20) + b"}", BAD)
    yield put("an exponent", b'{"a":1e99999999}', BAD)
    yield put("a lone surrogate", b'{"a":"\\ud800"}', BAD)
    yield put("a zero in a name", b'{"a\\u0000b":1}', (201, 400))
    yield put("no UTF-8", b'{"a":"\xc0\x80"}', BAD)
    yield put("a name twice", b'{"_id":"x","_id":"y"}', BAD)
    yield put("200,000 names", json.dumps({f"k{i}": 0 for i in range(200000)}).encode(), (201, 400, 413))
    yield put("half an object", b'{"a":1', BAD)
    yield put("something behind it", b'{"a":1} {"b":2}', BAD)
    yield put("members of ours", b'{"_nosuch":1}', BAD)
    yield put("_attachments that are none", b'{"_attachments":[1]}', BAD)
    yield put("an attachment that is no base64", b'{"_attachments":{"a":{"data":"***"}}}', BAD)
    yield put("a stub of nothing", b'{"_attachments":{"a":{"stub":true}}}', (412,))
    yield put("_revisions without end", json.dumps({"_revisions": {"start": 1 << 40, "ids": ["a" * 32] * 5000}}).encode(), BAD)
    pack = {"Content-Type": "application/msgpack"}
    for name, data in (("array of 4 billion", b"\xdd\xff\xff\xff\xff"), ("map of 4 billion", b"\xdf\xff\xff\xff\xff"),
                       ("text of 4 GiB", b"\x81\xdb\xff\xff\xff\xff"), ("depth 100,000", b"\x91" * 100000),
                       ("ext", b"\x81\xa1a\xc7\x01\x00\x00"), ("nothing", b"\xc1")):
        yield put(f"MessagePack: {name}", data, BAD, pack)
    zipped = {**JSON, "Content-Encoding": "gzip"}
    yield put("a gzip of 100 MiB", gzip.compress(bytes(100 << 20), 9), (400, 413), zipped)
    yield put("a gzip cut off", gzip.compress(b'{"a":1}')[:-4], BAD, zipped)
    yield put("a gzip in a gzip", gzip.compress(gzip.compress(b'{"a":1}')), BAD, zipped)
    yield put("another encoding", b"x", (415,), {**JSON, "Content-Encoding": "br, gzip"})


def multiparts():
    def put(name, kind, body, statuses=BAD):
        return f"multipart: {name}", "PUT", f"/h/m{len(name)}{name[-1]}", {"Content-Type": kind}, body, statuses
    related = 'multipart/related;boundary="b"'
    head = b'--b\r\nContent-Type: application/json\r\n\r\n{"_attachments":{"a":{"follows":true,"length":3,"content_type":"x/y"}}}\r\n'
    yield put("no boundary", "multipart/related", head)
    yield put("an empty boundary", 'multipart/related;boundary=""', head)
    yield put("a boundary of 1,000", f"multipart/related;boundary={'b' * 1000}", head)
    yield put("no end", related, head + b"--b\r\n\r\nab")
    yield put("no second part", related, head + b"--b--")
    yield put("a part too short", related, head + b"--b\r\n\r\na\r\n--b--", (400, 412))
    yield put("a part too many", related, head + b"--b\r\n\r\nabc\r\n--b\r\n\r\nabc\r\n--b--")
    yield put("100,000 parts", related, head + b"--b\r\n\r\n\r\n" * 100000 + b"--b--")
    yield put("a header of 1 MiB", related, head + b"--b\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\nabc\r\n--b--")
    yield put("a header without colon", related, head + b"--b\r\nnothing\r\n\r\nabc\r\n--b--", (201, 400))
    yield put("the boundary inside", related, head + b"--b\r\n\r\n\r\n--bc\r\n--b\r\n--b--")
    yield put("a name that climbs", related, head.replace(b'"a"', b'"../../x"') +
              b'--b\r\nContent-Disposition: attachment; filename="../../../etc/passwd"\r\n\r\nabc\r\n--b--', (201, 400))


def ranges():
    whole, part, never = (200,), (206, 200), (416, 200)
    rows = [("bytes=0-0", part), ("bytes=-0", never), ("bytes=5-1", never), ("bytes=0-18446744073709551616", (206, 200, 416)),
            ("bytes=-18446744073709551616", (206, 200, 416)), ("bytes=18446744073709551615-", never), ("bytes=,,,,", whole + never),
            ("bytes=--1", whole + never), ("bytes=0x0-0x9", whole + never), ("lines=1-2", whole), ("bytes=" + "9" * 5000 + "-", whole + never),
            ("bytes=" + ",".join(["0-"] * 1500), (206, 200, 416)), ("bytes=" + ",".join(f"{i}-" for i in range(1500)), (206, 200, 416)),
            ("bytes=0-0,-1", part)]
    for value, statuses in rows:
        yield f"range: {value[:40]}", "GET", "/h/d/a", {"Range": value}, None, statuses


def names():
    gone = (404,)
    for path, statuses in (
            ("/h/../x", gone), ("/h/%2e%2e/x", gone), ("/h/..%2fx", gone), ("/h/%2e%2e%2f%2e%2e%2fetc%2fpasswd", gone), ("/..", BAD + gone),
            ("/%2e%2e", BAD + gone), ("/../../etc/passwd", BAD + gone), ("/%2e%2e%2f%2e%2e%2fetc%2fpasswd", BAD + gone), ("//etc/passwd", BAD + gone),
            ("/h//", gone + OK + BAD), ("/h/%00", gone + BAD), ("/h/a%00b", gone + BAD), ("/h/d%00", gone + BAD), ("/h/%ff", BAD), ("/h/%c0%ae", BAD),
            ("/h/%", BAD), ("/h/%zz", BAD), ("/h/a%0d%0aX-Evil:%201", gone + BAD), ("/h/_design/../../d", gone + BAD),
            ("/h/_design/%2e%2e/_view/x", gone), ("/h/_design/..%2f..%2f_view/_view/x", gone), ("/h/d/../../x", gone), ("/h/d/..%2f..%2f..%2fetc%2fpasswd", gone),
            ("/h/_local/../d", gone + BAD), ("/h/d;x=1", gone), ("/h/d?rev=../../x", BAD), ("/h/d?rev=1-" + "a" * 4000, BAD + gone), ("/h/d?" + "a=1&" * 1900, (200, 400)),
            ("/h\\..\\d", BAD + gone), ("/_users/..%2f..%2fx", BAD + gone), ("/_node/../_config", BAD + gone), ("/_node/%00/_config", BAD + gone),
            ("/v1/secret/data/../../sys/health", BAD + gone), ("/v1/secret/data/%2e%2e/x", BAD + gone), ("/v1/secret/data/a%00b", BAD + gone),
            ("/v1/secret/data/" + "a/" * 29 + "x", BAD + gone), ("/_quorumkeep/keys/..%2f..%2fx", BAD + gone), ("/_quorumkeep/nodes/%00", BAD + gone + (405,)),
            ("/_utils/..%2f..%2fetc%2fpasswd", BAD + gone), ("/_session/../_all_dbs", BAD + gone + (405,)), ("/H/d", BAD + gone), ("/h%2fd", BAD + gone)):
        yield f"name: {path[:60]}", "GET", path, {}, None, statuses
    for path, statuses in (("/..", BAD), ("/%2e%2e", BAD), ("/a%2f..%2fb", BAD), ("/a%00b", BAD), ("/" + "a" * 239, BAD), ("/h/" + "%20" * 481, BAD),
                           ("/h/..", OK), ("/h/a%2f..%2fb", OK), ("/h/_design/..", OK + BAD), ("/h/%ef%bb%bf", OK)):
        yield f"made: {path[:60]}", "PUT", path, JSON, b"{}", statuses
    for target in ("../x", "x\x0b", "%00", "_design/../x", "a" * 600, "?rev=1-x"):
        yield f"copy to {target[:20]!r}", "COPY", "/h/d", {"Destination": target}, None, OK + BAD + (409, 404)


def numbers():
    for path in ("/_uuids?count=1000000000", "/_uuids?count=-1", "/_uuids?count=1e9", "/h/_all_docs?limit=1e5", "/h/_all_docs?skip=-1",
                 "/h/_all_docs?startkey=" + "%5B" * 2000, "/h/_changes?limit=99999999999999999999", "/h/_changes?since=-1", "/h/_changes?since=1-" + "f" * 4000,
                 "/h/_changes?feed=nosuch", "/h/_changes?feed=continuous&heartbeat=0", "/h/_changes?feed=continuous&timeout=-1",
                 "/h/_changes?filter=_view&view=../x", "/h/d?revs_info=maybe", "/h/d?open_revs=" + "%5B" * 500, "/h/d?atts_since=%7B%7D",
                 "/_all_dbs?limit=-5", "/_all_dbs?startkey=%22", "/_active_tasks?x=%00", "/h/_design/nosuch/_view/x?limit=-1", "/h/_local_docs?limit=x"):
        yield f"number: {path[:60]}", "GET", path, {}, None, (200, 400, 404)
    for path, body, statuses in (
            ("/h/_all_docs", {"keys": [0] * 100000}, (200, 400)), ("/h/_all_docs/queries", {"queries": [{"limit": 1}] * 2000}, (200, 400, 413)),
            ("/h/_revs_diff", {f"d{i}": ["1-" + "a" * 32] * 10 for i in range(5000)}, (200, 400)), ("/h/_revs_diff", {"d": 7}, BAD),
            ("/h/_bulk_get", {"docs": [{"id": "d"}] * 20000}, (200, 400, 413)), ("/h/_bulk_get?attachments=true", {"docs": [{"id": "d"}] * 40}, (200, 400, 413)),
            ("/h/_bulk_get", {"docs": 3}, BAD), ("/h/_bulk_docs", {"docs": [{"_id": "same"}] * 5000}, (201,)),
            ("/h/_bulk_docs", {"new_edits": False, "docs": [{"_id": "r", "_rev": "x"}]}, (201, 400)),
            ("/h/_purge", {"d": ["1-x"]}, (201, 400)), ("/h/_purge", [], BAD), ("/h/_changes?filter=_doc_ids", {"doc_ids": ["x"] * 100000}, (200, 400, 413)),
            ("/h/_security", {"user": "x" * 100000}, (400, 404, 413)), ("/_session", {"name": "x" * 100000, "password": "y" * 100000}, (401, 400, 413)),
            ("/_replicate", {"source": "gopher://x", "target": "h"}, BAD), ("/_replicate", {"source": {"url": [1]}, "target": 5}, BAD),
            ("/_quorumkeep/join", {"token": "x" * 100000}, (400, 401, 403, 404, 409)), ("/_quorumkeep/users", {"name": "../x", "password": "a" * 5000}, BAD),
            ("/_quorumkeep/keys", {"name": "\u0000"}, BAD), ("/_quorumkeep/unhold", {"hold_number": -1, "signature": "zz"}, (400, 403, 409))):
        yield f"post: {path[:40]} {json.dumps(body)[:30]}", "POST", path, JSON, json.dumps(body).encode(), statuses
    user = b'{"name":"evil","password":"long-enough","type":"user","roles":["_admin"],"roles":[]}'
    yield "put: a user with roles twice", "PUT", "/_users/org.couchdb.user:evil", JSON, user, BAD
    yield "put: a program in the configuration", "PUT", "/_node/_local/_config/query_servers/cmd", JSON, b'"/bin/id"', (400, 404, 405)
    yield "put: a setting of another section", "PUT", "/_node/_local/_config/admins/evil", JSON, b'"x"', (400, 404, 405)
    yield "put: _revs_limit", "PUT", "/h/_revs_limit", JSON, b"1e99", BAD
    yield "put: _revs_limit 0", "PUT", "/h/_revs_limit", JSON, b"0", BAD
    yield "put: _security", "PUT", "/h/_security", JSON, b'{"members":{"names":[1,{}]}}', BAD + (404,)


def scripts():
    """Maps of a view each, and what may be answered to the query: rows, or that the program failed."""
    yield "an endless loop", "function (doc) { while (true) {} }"
    yield "an endless row", "function (doc) { while (true) emit(1, 1); }"
    yield "a text that doubles", "function (doc) { var s = 'x'; while (true) s += s; }"
    yield "an array without end", "function (doc) { var a = []; while (true) a.push({}); }"
    yield "recursion", "function (doc) { (function f() { f(); })(); }"
    yield "a regular expression", "function (doc) { /^(a+)+$/.exec(doc.text); emit(1); }"
    yield "JSON in a ring", "function (doc) { var a = {}; a.a = a; emit(a, a); }"
    yield "a key of 8 MiB", "function (doc) { emit(new Array(1 << 23).join('x'), 1); }"
    yield "a depth of 10,000", "function (doc) { var a = []; for (var i = 0; i < 10000; i++) a = [a]; emit(a); }"
    yield "toJSON that lies", "function (doc) { emit({toJSON: function () { while (true) {} }}); }"
    yield "a number that is none", "function (doc) { emit(0 / 0, 1 / 0); }"
    yield "no UTF-8", "function (doc) { emit('\\ud800', '\\udfff'); }"
    yield "the way out", "function (doc) { emit(typeof require('../../../etc/passwd')); }"
    yield "eval and its friends", "function (doc) { emit(new Function('return typeof process + typeof Duktape')()); }"
    yield "another prototype", "function (doc) { Array.prototype.push = Object.prototype.toString = JSON.stringify = null; emit(1); }"
    yield "a syntax error", "function (doc) { emit( }"
    yield "no function", "42"
