/* What another server says in a replication, step by step: whatever it is, no step's reply is taken
 * for more than it is, and what is made of it for the next request is JSON. The same bytes are a
 * replication's document: what is shown of it holds nothing of what was taken out as secret. */
#include <string.h>

#include "doc/replication.h"
#include "doc/replication_spec.h"
#include "fuzz.h"

static const char *const seeds[] = {
    "{\"results\":[{\"seq\":\"3-x\",\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"},{\"rev\":\"1-b\"}]}"
    "],"
    "\"last_seq\":\"5-y\",\"pending\":7}",
    "{\"a\":{\"missing\":[\"1-a\",\"2-d\"],\"possible_ancestors\":[\"1-z\"]}}",
    "{\"results\":[{\"id\":\"a\",\"docs\":[{\"ok\":{\"_id\":\"a\",\"_rev\":\"1-a\",\"x\":1}},"
    "{\"error\":{\"id\":\"a\",\"rev\":\"2-b\",\"error\":\"not_found\"}}]}]}",
    "{\"results\":[{\"docs\":[{\"ok\":{\"_id\":\"_design/a?b\",\"_rev\":\"1-a\",\"_attachments\":{"
    "\"x\":{\"stub\":true,\"length\":99999999}}}}]}]}",
    "[{\"ok\":true,\"id\":\"a\"},{\"id\":\"b\",\"error\":\"forbidden\"}]",
    "{\"session_id\":\"s2\",\"source_last_seq\":\"20\",\"_rev\":\"0-1\",\"history\":["
    "{\"session_id\":\"s2\",\"recorded_seq\":\"20\"},{\"session_id\":\"s1\",\"recorded_seq\":10}]}",
    "{\"source\":\"https://ad%40a:p%3Aw@host:6984/db\",\"target\":\"local\",\"continuous\":true}",
    "{\"source\":{\"url\":\"http://h/db\",\"auth\":{\"basic\":{\"username\":\"u\",\"password\":"
    "\"pw\"}},\"headers\":{\"X-A\":\"b c\"}},\"target\":\"t\",\"doc_ids\":[\"a\"]}",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof seeds / sizeof *seeds)
        return false;
    buf_put_str(out, seeds[number]);
    return true;
}

static void must_be_json(const struct buf *text)
{
    struct doc_problem problem;
    json_t *value = NULL;

    fuzz_must(json_parse(buf_bytes(text), JSON_WRITE_DEPTH_MAX, &problem, &value));
    json_decref(value);
}

/* Nothing of an id ends the path of a request or begins another one's. */
static void fuzz_doc_paths(const json_t *list)
{
    struct buf out = BUF_INIT(64 * MIB);
    const json_t *each;
    size_t i;

    json_array_foreach(list, i, each)
    {
        buf_reset(&out);
        replication_put_doc_path(each, &out);
        buf_put_u8(&out, 0);
        fuzz_require(buf_error(&out) == QK_OK && strlen((const char *)out.data) == out.len - 1);
        fuzz_require(strpbrk((const char *)out.data, "?&# \r\n") == NULL);
    }
    buf_fini(&out);
}

static void fuzz_steps(struct bytes in)
{
    struct buf out = BUF_SECRET_INIT(4 * MIB);
    struct replication_page page;
    struct replication_docs docs;
    size_t failed_n = 0;
    json_t *missing;

    if (replication_read_changes(in, &out, &page) == QK_OK) {
        must_be_json(&out);
        json_decref(page.last_seq);
    }
    buf_reset(&out);
    if (replication_read_diff(in, &missing) == QK_OK) {
        fuzz_must(replication_write_bulk_get(missing, 0, json_array_size(missing), &out));
        must_be_json(&out);
        json_decref(missing);
    }
    buf_fini(&out);
    if (replication_read_bulk_get(in, &out, &docs) == QK_OK) {
        must_be_json(&out);
        fuzz_doc_paths(docs.brief);
        fuzz_doc_paths(docs.lengthy);
        replication_docs_fini(&docs);
    }
    fuzz_any(replication_read_bulk_docs(in, &failed_n));
    buf_fini(&out);
}

static void fuzz_log(const json_t *log)
{
    struct replication_session session = {.id = "x"};
    struct buf out = BUF_SECRET_INIT(4 * MIB);

    session.recorded_seq = replication_common_seq(log, log);
    if (replication_write_log(log, &session, &out) == QK_OK)
        must_be_json(&out);
    buf_fini(&out);
}

static void fuzz_spec(json_t *object)
{
    struct replication_spec spec = {0};
    struct doc_problem problem = {0};
    json_t *secret = NULL;
    struct buf identity = BUF_INIT(4 * MIB);

    if (replication_split(object, &problem, &secret) != QK_OK)
        return;
    if (replication_spec_read(object, secret, &spec, &problem) == QK_OK) {
        fuzz_require(spec.source.local || strstr(spec.source.name, "://") != NULL);
        fuzz_require(strpbrk(spec.target.name, "\r\n ") == NULL);
        for (unsigned i = 0; i < spec.source.fields_n; i++)
            fuzz_require(strpbrk(spec.source.fields[i], "\r\n") == NULL);
        replication_spec_identity(&spec, &identity);
    }
    replication_spec_fini(&spec);
    buf_fini(&identity);
    json_decref(secret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = bytes_of(data, len);
    struct doc_problem problem;
    json_t *value = NULL;

    fuzz_steps(in);
    if (json_parse(in, JSON_DEPTH_MAX, &problem, &value) != QK_OK)
        return 0;
    fuzz_log(value);
    if (json_is_object(value))
        fuzz_spec(value);
    json_decref(value);
    return 0;
}
