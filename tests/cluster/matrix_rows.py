"""Every door and what each kind of person gets there: the table of test_matrix. A route of src/http/product.c that
has no row here fails the test.

A row: method, pattern as the product has it, target asked, body, and what each column gets. A cell is the status,
with ":N" the documents seen in the reply (or written, of a bulk), or "-" where asking would change the cluster
under the test. In targets and bodies {new} is an id never used, {doc} and {rev} a document that was just made under
the data key k, {user} a user just made.

Columns, each a user with rights to the databases m and w and grants on the data key k:"""

COLUMNS = {
    # name: (rights to the databases, grants on the key)
    "nobody": None,  # no login at all
    "none": ((), ()),
    "read": (("read",), ()),
    "encrypt": (("read", "write"), ("encrypt",)),
    "decrypt": (("read", "write"), ("decrypt",)),
    "both": (("read", "write"), ("encrypt", "decrypt")),
    "manage": (("read", "write"), ("manage",)),
    "admin": None,  # an administrator
    "revoked": (("read", "write"), ("encrypt", "decrypt")),  # and all of it taken away just before the request
}

# Common answers, in the order of the columns.
OPEN = "200 200 200 200 200 200 200 200 200"
LOGIN = "401 200 200 200 200 200 200 200 200"
ADMIN = "401 403 403 403 403 403 403 {} 403"
SOCKET = "403 403 403 403 403 403 403 403 403"  # the control socket alone

# What reads documents: m holds two under k and one under a key that nobody has a grant on.
READ = "401 403 403 403 200 200 403 200 403"
# v is as m is, and its design document stands under k.
VIEW = "401 403 403 403 200:2 200:2 403 200:3 403"
COUNT = "401 403 200:0 200:0 200:2 200:2 200:0 200:3 403"
# What writes under k: needs the right to write and the grant to encrypt.
WRITE = "401 403 403 {0} 403 {0} 403 {0} 403"
# What keeps some of a document and writes the rest.
EDIT = "401 403 403 403 403 {0} 403 {0} 403"
ABSENT = "401 501 501 501 501 501 501 501 501"
DB_READ = "401 403 200 200 200 200 200 200 403"
DB_WRITE = "401 403 403 {0} {0} {0} {0} {0} 403"

NONE = None
BULK = {"docs": [{"_id": "{new}", "_key_id": "k"}]}


def admin(status):
    return ADMIN.format(status)


DOCUMENTS = [
    ("GET", "/{db}", "/m", NONE, COUNT),
    ("PUT", "/{db}", "/d{new}", NONE, admin(201)),
    ("DELETE", "/{db}", "/nosuch", NONE, admin(404)),
    ("POST", "/{db}", "/w", {"_id": "{new}", "_key_id": "k"}, WRITE.format(201)),
    ("GET", "/{db}/_encryption", "/m/_encryption", NONE, DB_READ),
    ("PUT", "/{db}/_encryption", "/w/_encryption", {}, admin(400)),
    ("POST", "/{db}/_bulk_docs", "/w/_bulk_docs", BULK,
     "401 403 403 201:1 201:0 201:1 201:0 201:1 403"),
    ("POST", "/{db}/_bulk_get", "/m/_bulk_get", {"docs": [{"id": "seen1"}, {"id": "dark"}]},
     "401 403 200:0 200:0 200:1 200:1 200:0 200:2 403"),
    ("POST", "/{db}/_revs_diff", "/m/_revs_diff", {"seen1": ["1-00"]}, DB_READ),
    ("POST", "/{db}/_missing_revs", "/m/_missing_revs", {"seen1": ["1-00"]}, DB_READ),
    ("GET", "/{db}/_revs_limit", "/m/_revs_limit", NONE, DB_READ),
    ("PUT", "/{db}/_revs_limit", "/w/_revs_limit", 1000, admin(200)),
    ("POST", "/{db}/_purge", "/w/_purge", {"none": ["1-00"]}, admin(201)),
    ("POST", "/{db}/_compact", "/m/_compact", {}, admin(202)),
    ("POST", "/{db}/_ensure_full_commit", "/w/_ensure_full_commit", {}, DB_WRITE.format(201)),
    ("GET", "/{db}/_security", "/m/_security", NONE, DB_READ),
    ("PUT", "/{db}/_security", "/nosuch/_security", {}, admin(404)),
    ("POST", "/{db}/_security", "/w/_security", {"role": "x", "remove": ["read"]}, admin(200)),
    ("GET", "/{db}/_design/{*name}/_show/{function...}", "/m/_design/x/_show/f", NONE, ABSENT),
    ("POST", "/{db}/_design/{*name}/_show/{function...}", "/m/_design/x/_show/f", {}, ABSENT),
    ("GET", "/{db}/_design/{*name}/_list/{function...}", "/m/_design/x/_list/f", NONE, ABSENT),
    ("POST", "/{db}/_design/{*name}/_list/{function...}", "/m/_design/x/_list/f", {}, ABSENT),
    ("PUT", "/{db}/_design/{*name}/_update/{function...}", "/m/_design/x/_update/f", {}, ABSENT),
    ("POST", "/{db}/_design/{*name}/_update/{function...}", "/m/_design/x/_update/f", {}, ABSENT),
    ("GET", "/{db}/_design/{*name}/_search/{function...}", "/m/_design/x/_search/f", NONE, ABSENT),
    ("POST", "/{db}/_design/{*name}/_search/{function...}", "/m/_design/x/_search/f", {}, ABSENT),
    ("GET", "/{db}/_partition/{name...}", "/m/_partition/p/_all_docs", NONE, ABSENT),
    ("POST", "/{db}/_partition/{name...}", "/m/_partition/p/_all_docs", {}, ABSENT),
    ("GET", "/{db}/_all_docs", "/m/_all_docs?include_docs=true", NONE, COUNT),
    ("POST", "/{db}/_all_docs", "/m/_all_docs", {"keys": ["seen1", "seen2", "dark"]}, COUNT),
    ("POST", "/{db}/_all_docs/queries", "/m/_all_docs/queries", {"queries": [{}]}, COUNT),
    ("GET", "/{db}/_design_docs", "/m/_design_docs", NONE, DB_READ),
    ("POST", "/{db}/_design_docs", "/m/_design_docs", {}, DB_READ),
    ("POST", "/{db}/_design_docs/queries", "/m/_design_docs/queries", {"queries": []}, DB_READ),
    ("GET", "/{db}/_local_docs", "/m/_local_docs", NONE, DB_READ),
    ("POST", "/{db}/_local_docs", "/m/_local_docs", {}, DB_READ),
    ("GET", "/{db}/_changes", "/m/_changes?include_docs=true", NONE, COUNT),
    ("POST", "/{db}/_changes", "/m/_changes", {}, COUNT),
    ("POST", "/{db}/_find", "/m/_find", {"selector": {}}, COUNT),
    ("POST", "/{db}/_find", "/m/_find", {"selector": {"body": {"$gt": ""}}, "fields": ["body"]}, COUNT),
    ("POST", "/{db}/_explain", "/m/_explain", {"selector": {}}, DB_READ),
    ("GET", "/{db}/_index", "/m/_index", NONE, DB_READ),
    ("POST", "/{db}/_index", "/w/_index", {"index": {"fields": ["a"]}, "ddoc": "{new}"}, admin(200)),
    ("POST", "/{db}/_index/_bulk_delete", "/w/_index/_bulk_delete", {"docids": ["none"]}, admin(200)),
    ("DELETE", "/{db}/_index/{*design}/{type}/{*name}", "/w/_index/none/json/n", NONE, admin(404)),
    ("DELETE", "/{db}/_index/_design/{*design}/{type}/{*name}", "/w/_index/_design/none/json/n", NONE, admin(404)),
    ("GET", "/{db}/_design/{*name}/_view/{*view}", "/v/_design/d/_view/n", NONE, VIEW),
    ("POST", "/{db}/_design/{*name}/_view/{*view}", "/v/_design/d/_view/n", {"descending": True}, VIEW),
    ("POST", "/{db}/_design/{*name}/_view/{*view}/queries", "/v/_design/d/_view/n/queries", {"queries": [{}]}, VIEW),
    ("GET", "/{db}/_design/{*name}/_info", "/v/_design/d/_info", NONE, READ),
    ("POST", "/{db}/_temp_view", "/v/_temp_view", {}, "401 410 410 410 410 410 410 410 410"),
    ("POST", "/{db}/_view_cleanup", "/v/_view_cleanup", {}, admin(202)),
    ("POST", "/{db}/_compact/{*name}", "/v/_compact/d", {}, admin(202)),
    ("GET", "/{db}/{*doc}", "/m/seen1", NONE, READ),
    ("GET", "/{db}/{*doc}", "/m/dark", NONE, admin(200)),
    ("HEAD", "/{db}/{*doc}", "/m/seen1", NONE, READ),
    ("GET", "/{db}/{*doc}", "/nosuch/doc", NONE, admin(404)),
    ("PUT", "/{db}/{*doc}", "/w/{new}?key_id=k", {}, WRITE.format(201)),
    ("PUT", "/{db}/{*doc}", "/w/{doc}?rev={rev}", {"_key_id": "k"}, WRITE.format(201)),
    ("PUT", "/{db}/{*doc}", "/m/dark", {"_key_id": "k"}, admin(409)),
    ("PUT", "/{db}/{*doc}", "/w/{new}?key_id=nosuch", {}, admin(400)),
    ("DELETE", "/{db}/{*doc}", "/w/{doc}?rev={rev}", NONE, WRITE.format(200)),
    ("DELETE", "/{db}/{*doc}", "/m/dark", NONE, admin(409)),
    ("COPY", "/{db}/{*doc}", "/w/none", NONE, "401 403 400 400 400 400 400 400 403"),
    ("COPY", "/{db}/_design/{*name}", "/w/_design/none", NONE, "401 403 400 400 400 400 400 400 403"),
    ("GET", "/{db}/_local/{*id}", "/m/_local/none", NONE, "401 403 404 404 404 404 404 404 403"),
    ("PUT", "/{db}/_local/{*id}", "/w/_local/{new}", {"_key_id": "k"}, WRITE.format(201)),
    ("DELETE", "/{db}/_local/{*id}", "/w/_local/none", NONE, "401 403 403 404 404 404 404 404 403"),
    ("GET", "/{db}/_design/{*name}", "/m/_design/none", NONE, "401 403 404 404 404 404 404 404 403"),
    ("PUT", "/{db}/_design/{*name}", "/w/_design/{new}?key_id=k", {}, admin(201)),
    ("DELETE", "/{db}/_design/{*name}", "/w/_design/none", NONE, admin(404)),
    # An attachment is its document's; an edit of one keeps what else the document has, so it needs to read that.
    ("GET", "/{db}/{*doc}/{attachment...}", "/m/seen1/a/b", NONE, "401 403 403 403 404 404 403 404 403"),
    ("PUT", "/{db}/{*doc}/{attachment...}", "/w/{new}/a?key_id=k", {}, WRITE.format(201)),
    ("PUT", "/{db}/{*doc}/{attachment...}", "/w/{doc}/a?rev={rev}", {}, EDIT.format(201)),
    ("DELETE", "/{db}/{*doc}/{attachment...}", "/w/{doc}/a?rev={rev}", NONE, EDIT.format(404)),
    ("GET", "/{db}/_design/{*name}/{attachment...}", "/m/_design/none/a", NONE, "401 403 404 404 404 404 404 404 403"),
    ("PUT", "/{db}/_design/{*name}/{attachment...}", "/w/_design/{new}/a?key_id=k", {}, admin(201)),
    ("DELETE", "/{db}/_design/{*name}/{attachment...}", "/w/_design/none/a", NONE, admin(404)),
    ("GET", "/_all_dbs", "/_all_dbs", NONE, admin(200)),
    ("GET", "/_db_updates", "/_db_updates", NONE, admin(200)),
    ("GET", "/_dbs_info", "/_dbs_info", NONE, admin(200)),
    ("POST", "/_dbs_info", "/_dbs_info", {"keys": ["m", "nosuch"]}, admin(200)),
    ("GET", "/_active_tasks", "/_active_tasks", NONE, admin(200)),
    ("GET", "/_membership", "/_membership", NONE, admin(200)),
    ("GET", "/_node/{*name}", "/_node/_local", NONE, admin(200)),
    ("GET", "/_node/{*name}/_config", "/_node/_local/_config", NONE, admin(200)),
    ("GET", "/_node/{*name}/_config/{section}", "/_node/_local/_config/couchdb", NONE, admin(200)),
    ("GET", "/_node/{*name}/_config/{section}/{key}", "/_node/_local/_config/couchdb/uuid", NONE, admin(200)),
    ("PUT", "/_node/{*name}/_config/{section}/{key}", "/_node/_local/_config/couchdb/uuid", [], admin(400)),
    ("GET", "/_uuids", "/_uuids", NONE, OPEN),
    ("GET", "/_quorumkeep/databases", "/_quorumkeep/databases", NONE, admin(200)),
]

PEOPLE = [
    ("GET", "/_quorumkeep/users", "/_quorumkeep/users", NONE, admin(200)),
    ("POST", "/_quorumkeep/users", "/_quorumkeep/users", {"name": "u{new}"}, admin(201)),
    ("GET", "/_quorumkeep/users/{*name}", "/_quorumkeep/users/admin", NONE, admin(200)),
    ("GET", "/_quorumkeep/users/{*name}", "/_quorumkeep/users/nosuch", NONE, admin(404)),
    ("PUT", "/_quorumkeep/users/{*name}", "/_quorumkeep/users/none", {"roles": ["x"]}, admin(200)),
    ("PUT", "/_quorumkeep/users/{*name}", "/_quorumkeep/users/none", {"roles": []}, admin(200)),
    ("DELETE", "/_quorumkeep/users/{*name}", "/_quorumkeep/users/nosuch", NONE, admin(404)),
    ("GET", "/_users/{*doc}", "/_users/org.couchdb.user:admin", NONE, admin(200)),
    ("PUT", "/_users/{*doc}", "/_users/org.couchdb.user:v{new}",
     {"name": "v{new}", "roles": [], "type": "user"}, admin(201)),
    ("DELETE", "/_users/{*doc}", "/_users/org.couchdb.user:nosuch", NONE, admin(404)),
    ("GET", "/_quorumkeep/keys/{name}/grants", "/_quorumkeep/keys/k/grants", NONE,
     "401 403 403 403 403 403 200 200 403"),
    ("POST", "/_quorumkeep/keys/{name}/grants", "/_quorumkeep/keys/k/grants",
     {"role": "x", "remove": ["decrypt"]}, "401 403 403 403 403 403 200 200 403"),
    ("GET", "/_quorumkeep/secrets/rights", "/_quorumkeep/secrets/rights", NONE, admin(200)),
    ("PUT", "/_quorumkeep/secrets/rights", "/_quorumkeep/secrets/rights", {}, admin(200)),
    ("POST", "/_quorumkeep/secrets/rights", "/_quorumkeep/secrets/rights", {"role": "x", "remove": ["read"]}, admin(200)),
    ("GET", "/_quorumkeep/secrets/encryption", "/_quorumkeep/secrets/encryption", NONE, admin(200)),
    ("PUT", "/_quorumkeep/secrets/encryption", "/_quorumkeep/secrets/encryption", {}, admin(400)),
    ("GET", "/_session", "/_session", NONE, OPEN),
    ("POST", "/_session", "/_session", {"name": "none", "password": "wrong"},
     "401 401 401 401 401 401 401 401 401"),
    ("DELETE", "/_session", "/_session", NONE, OPEN),
    ("GET", "/_quorumkeep/tokens", "/_quorumkeep/tokens", NONE, LOGIN),
    ("POST", "/_quorumkeep/tokens", "/_quorumkeep/tokens", {}, "401 403 403 403 403 403 403 403 403"),
    ("DELETE", "/_quorumkeep/tokens/{id}", "/_quorumkeep/tokens/00000000000000000000000000000000", NONE,
     "401 404 404 404 404 404 404 404 404"),
    ("POST", "/v1/auth/userpass/login/{*user}", "/v1/auth/userpass/login/none", {},
     "400 400 400 400 400 400 400 400 400"),
    ("PUT", "/v1/auth/userpass/login/{*user}", "/v1/auth/userpass/login/none", {},
     "400 400 400 400 400 400 400 400 400"),
    ("GET", "/v1/auth/token/lookup-self", "/v1/auth/token/lookup-self", NONE, "403 200 200 200 200 200 200 200 200"),
]
# Of one's own token: they would end the logins of the test, or change them.
PEOPLE += [(method, f"/v1/auth/token/{verb}-self", f"/v1/auth/token/{verb}-self", {}, "403 - - - - - - - -")
           for method in ("POST", "PUT") for verb in ("renew", "revoke")]

KEYS = [
    ("GET", "/_quorumkeep/keys", "/_quorumkeep/keys", NONE, LOGIN),
    ("GET", "/_quorumkeep/keys/{name}", "/_quorumkeep/keys/k", NONE, "401 403 403 200 200 200 200 200 403"),
    ("GET", "/_quorumkeep/keys/{name}", "/_quorumkeep/keys/nosuch", NONE, admin(404)),
    ("POST", "/_quorumkeep/keys", "/_quorumkeep/keys", {"name": "n{new}"}, admin(201)),
    ("POST", "/_quorumkeep/keys/{name}/rotate", "/_quorumkeep/keys/other/rotate", {}, admin(200)),
    ("POST", "/_quorumkeep/keys/{name}/destroy", "/_quorumkeep/keys/other/destroy", {"version": 99}, admin(404)),
    ("PUT", "/_quorumkeep/keys/{name}/limits", "/_quorumkeep/keys/other/limits", {"records": 5000}, admin(200)),
    ("GET", "/_quorumkeep/keys/policy", "/_quorumkeep/keys/policy", NONE, LOGIN),
    ("PUT", "/_quorumkeep/keys/policy", "/_quorumkeep/keys/policy", {"nosuch": 1}, admin(400)),
    ("POST", "/_quorumkeep/keys/reencrypt", "/_quorumkeep/keys/reencrypt", {}, admin("-")),
]

CLUSTER = [
    ("GET", path, path, NONE, OPEN)
    for path in ("/", "/_up", "/v1/sys/health", "/v1/sys/seal-status", "/v1/sys/leader", "/_quorumkeep/status",
                 "/metrics", "/_quorumkeep/hold")
] + [
    ("POST", f"/_quorumkeep/{verb}", f"/_quorumkeep/{verb}", {}, SOCKET) for verb in ("init", "join", "rejoin")
] + [
    ("POST", f"/_quorumkeep/{verb}", f"/_quorumkeep/{verb}", {}, admin("-"))
    for verb in ("invite", "seal", "unseal", "recovery/begin", "recovery/share", "recovery/cancel",
                 "recovery/rotate", "recovery/confirm", "master/refresh", "master/rotate", "audit/check", "verify",
                 "debug/open")
] + [
    ("POST", f"/_quorumkeep/nodes/{{name}}/{verb}", f"/_quorumkeep/nodes/nosuch/{verb}", {}, admin(404))
    for verb in ("suspend", "resume", "remove")
] + [
    ("GET", f"/_quorumkeep/{what}", f"/_quorumkeep/{what}", NONE, admin(200))
    for what in ("recovery", "deal", "audit", "verify", "backup")
] + [
    ("POST", "/_quorumkeep/unhold", "/_quorumkeep/unhold", {}, "400 400 400 400 400 400 400 400 400"),
    ("GET", "/_quorumkeep/settings", "/_quorumkeep/settings", NONE, LOGIN),
    ("PUT", "/_quorumkeep/settings", "/_quorumkeep/settings", {"nosuch": 1}, admin(400)),
    ("GET", "/_quorumkeep/nodes", "/_quorumkeep/nodes", NONE, LOGIN),
]


def vault(status):
    """Under /v1/ no login is 403, as in Vault; nobody here has rights to the secrets but the administrator."""
    return "403 403 403 403 403 403 403 {} 403".format(status)


VAULT_OPEN = "403 200 200 200 200 200 200 200 200"
VAULT = [
    ("GET", "/v1/sys/mounts", "/v1/sys/mounts", NONE, VAULT_OPEN),
    ("GET", "/v1/sys/internal/ui/mounts", "/v1/sys/internal/ui/mounts", NONE, VAULT_OPEN),
    ("GET", "/v1/sys/internal/ui/mounts/{path...}", "/v1/sys/internal/ui/mounts/secret", NONE, VAULT_OPEN),
    ("GET", "/v1/secret/data/{path...}", "/v1/secret/data/s", NONE, vault(200)),
    ("GET", "/v1/secret/subkeys/{path...}", "/v1/secret/subkeys/s", NONE, vault(200)),
    ("GET", "/v1/secret/metadata/{path...}", "/v1/secret/metadata/s", NONE, vault(200)),
    ("LIST", "/v1/secret/metadata/{path...}", "/v1/secret/metadata/nosuch", NONE, vault(404)),
    ("LIST", "/v1/secret/metadata", "/v1/secret/metadata", NONE, vault(200)),
    ("GET", "/v1/secret/metadata", "/v1/secret/metadata?list=true", NONE, vault(200)),
    ("GET", "/v1/secret/config", "/v1/secret/config", NONE, vault(200)),
    ("PATCH", "/v1/secret/data/{path...}", "/v1/secret/data/nosuch", {"data": {}}, vault("-")),
    ("PATCH", "/v1/secret/metadata/{path...}", "/v1/secret/metadata/nosuch", {}, vault("-")),
    ("DELETE", "/v1/secret/data/{path...}", "/v1/secret/data/nosuch", NONE, vault(204)),
    ("DELETE", "/v1/secret/metadata/{path...}", "/v1/secret/metadata/nosuch", NONE, vault(204)),
]
VAULT += [(method, f"/v1/secret/{verb}/{{path...}}", f"/v1/secret/{verb}/t{{new}}", body, vault(answer))
          for method in ("POST", "PUT")
          for verb, body, answer in (("data", {"data": {"a": "b"}}, 200), ("delete", {"versions": [1]}, "-"),
                                     ("undelete", {"versions": [1]}, "-"), ("destroy", {"versions": [1]}, "-"),
                                     ("metadata", {"max_versions": 5}, 204))]
VAULT += [(method, "/v1/secret/config", "/v1/secret/config", {}, vault("-")) for method in ("POST", "PUT")]

# Nobody here has rights to the database _replicator but the administrator; _replicate is for whoever has logged in.
REPLICATIONS = [
    ("GET", path, path, NONE, admin(200))
    for path in ("/_scheduler/jobs", "/_scheduler/docs", "/_scheduler/docs/_replicator", "/_replicator",
                 "/_replicator/_security", "/_replicator/_all_docs", "/_replicator/_changes")
] + [
    ("GET", "/_scheduler/jobs/{id}", "/_scheduler/jobs/nosuch", NONE, admin(404)),
    ("GET", "/_scheduler/docs/_replicator/{*doc}", "/_scheduler/docs/_replicator/nosuch", NONE, admin(404)),
    ("POST", "/_replicate", "/_replicate", {}, "401 400 400 400 400 400 400 400 400"),
    ("POST", "/_replicate", "/_replicate", {"source": "m", "target": "nosuch"}, "401 403 403 403 403 403 403 404 403"),
    ("POST", "/_replicator/_all_docs", "/_replicator/_all_docs", {"keys": []}, admin(200)),
    ("POST", "/_replicator", "/_replicator", {"source": 1, "target": "b"}, "401 400 400 400 400 400 400 400 400"),
    ("PUT", "/_replicator/_security", "/_replicator/_security", {}, admin(200)),
    ("GET", "/_replicator/{doc}", "/_replicator/nosuch", NONE, admin(404)),
    ("PUT", "/_replicator/{doc}", "/_replicator/{new}",
     {"source": "http://127.0.0.1:1/a", "target": "b", "_deleted": True}, admin(200)),
    ("DELETE", "/_replicator/{doc}", "/_replicator/nosuch", NONE, admin(404)),
]

ROWS = DOCUMENTS + PEOPLE + KEYS + CLUSTER + VAULT + REPLICATIONS

# The same by the command: arguments, what each column gets (exit status 0 ok, 1 error, 4 denied, 5 not found,
# 6 conflict; with ":N" the lines it prints), and what it reads from standard input. A verb of these groups without a
# row fails the test, too.
COMMAND_GROUPS = ("doc", "view", "db", "secret", "key", "grant", "user", "token")

CLI_ADMIN = "4 4 4 4 4 4 4 {} 4"
CLI_READ = "4 4 0 0 0 0 0 0 4"
CLI_WRITE = "4 4 4 0 4 0 4 0 4"
CLI_EDIT = "4 4 4 4 4 0 4 0 4"  # reads what it changes
CLI_LIST = "4 4 0:0 0:0 0:2 0:2 0:0 0:3 4"
CLI_MANAGE = "4 4 4 4 4 4 0 0 4"
CLI_LOGIN = "4 0 0 0 0 0 0 0 0"
DOC_OF_K = '{"_id":"{new}","_key_id":"k"}'


def by_admin(answer, *verbs):
    return [(tuple(verb.split()), CLI_ADMIN.format(answer)) for verb in verbs]


COMMANDS = [
    (("doc", "get", "m", "seen1"), "4 4 4 4 0 0 4 0 4"),
    (("doc", "get", "m", "dark"), "4 4 4 4 4 4 4 0 4"),
    (("doc", "list", "m"), CLI_LIST),
    (("doc", "find", "m", "{}"), CLI_LIST),
    (("doc", "export", "m"), CLI_LIST),
    (("doc", "watch", "m", "--since", "0", "--limit", "2"), "4 4 - - 0:2 0:2 - 0:2 4"),
    (("doc", "put", "w", "{new}", "--key-id", "k"), CLI_WRITE, "{}"),
    (("doc", "put", "w", "{doc}", "--rev", "{rev}"), CLI_WRITE, "{}"),
    (("doc", "put", "m", "dark"), CLI_ADMIN.format(6), "{}"),
    (("doc", "delete", "w", "{doc}", "--rev", "{rev}"), CLI_WRITE),
    (("doc", "delete", "w", "{doc}"), CLI_EDIT),
    (("doc", "import", "w"), "4 4 4 0 1 0 1 0 4", DOC_OF_K),  # 1: some of the documents are refused
    (("view", "query", "v", "d/n"), "4 4 4 4 0:2 0:2 4 0:3 4"),
    (("db", "info", "m"), CLI_READ),
    (("db", "rights", "m"), CLI_READ),
    (("key", "list"), CLI_LOGIN),
    (("key", "show", "k"), "4 4 4 0 0 0 0 0 4"),
    (("key", "policy"), CLI_LOGIN),
    (("key", "reencrypt", "--pause"), CLI_ADMIN.format("-")),
    (("grant", "list", "k"), CLI_MANAGE),
    (("grant", "add", "k", "role:x", "decrypt"), CLI_MANAGE),
    (("grant", "remove", "k", "role:x", "decrypt"), CLI_MANAGE),
    (("user", "add", "c{new}"), CLI_ADMIN.format(0), "a password\n"),
    (("user", "passwd", "nosuch"), CLI_ADMIN.format(5), "a password\n"),
    (("token", "list"), CLI_LOGIN),
    (("token", "create"), "4 4 4 4 4 4 4 4 4"),  # a token makes no tokens
    (("token", "revoke", 32 * "0"), "4 5 5 5 5 5 5 5 5"),
    (("secret", "put", "t{new}"), CLI_ADMIN.format(0), "value\n"),
]
COMMANDS += by_admin(0, "db list", "db create c{new}", "db set w --encrypted", "db grant w role:x read",
                     "db revoke w role:x read", "key create c{new}", "key rotate other", "key limits other records=5000",
                     "user list", "user show admin", "secret rights", "secret grant role:x read",
                     "secret revoke role:x read", "secret get s", "secret list", "secret history s", "secret set s owner=x",
                     "secret config", "secret key", "secret delete s", "secret undelete s --versions 1")
COMMANDS += by_admin(5, "db drop nosuch --yes", "key destroy other/99 --yes", "user disable nosuch", "user enable nosuch",
                     "user set nosuch roles=", "user delete nosuch")
COMMANDS += by_admin("-", "secret destroy s --versions 1")
